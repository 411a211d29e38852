# The object tier: a bucket for the archive, the key with which S3 encrypts it (SSE-KMS), and the archive's own master key, with
# which tierd encrypts before anything leaves it. Who reads the bucket alone reads nothing.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  region      = data.aws_region.current.region
  kms_key_arn = var.kms_key_arn == null ? aws_kms_key.bucket[0].arn : var.kms_key_arn
  archive_key = var.archive_key_primary_arn == null ? aws_kms_key.archive[0].arn : aws_kms_replica_key.archive[0].arn
}

resource "aws_kms_key" "bucket" {
  count = var.kms_key_arn == null ? 1 : 0

  description             = "${var.name}: objects of the archive"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  tags = var.tags
}

resource "aws_kms_alias" "bucket" {
  count = var.kms_key_arn == null ? 1 : 0

  name          = "alias/${var.name}-object-tier"
  target_key_id = aws_kms_key.bucket[0].key_id
}

# A multi-Region key from the beginning, as that cannot be changed later: without a replica of it in the other region, a copy of
# the archive there could not be read when this region is lost.
resource "aws_kms_key" "archive" {
  count = var.archive_key_primary_arn == null ? 1 : 0

  description             = "${var.name}: master key of the archive; without it the archive cannot be read"
  multi_region            = true
  enable_key_rotation     = true
  deletion_window_in_days = 30

  tags = var.tags
}

resource "aws_kms_replica_key" "archive" {
  count = var.archive_key_primary_arn == null ? 0 : 1

  description             = "${var.name}: master key of the archive of another region; without it the archive cannot be read"
  primary_key_arn         = var.archive_key_primary_arn
  deletion_window_in_days = 30

  tags = var.tags
}

resource "aws_kms_alias" "archive" {
  name          = "alias/${var.name}-archive"
  target_key_id = var.archive_key_primary_arn == null ? aws_kms_key.archive[0].key_id : aws_kms_replica_key.archive[0].key_id
}

resource "aws_s3_bucket" "archive" {
  bucket        = coalesce(var.bucket_name, "${var.name}-archive-${data.aws_caller_identity.current.account_id}-${local.region}")
  force_destroy = var.force_destroy

  # Locks nothing by itself; that it is there lets object_lock be set later, and replicas be locked, too.
  object_lock_enabled = true

  tags = var.tags
}

resource "aws_s3_bucket_versioning" "archive" {
  bucket = aws_s3_bucket.archive.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "archive" {
  count = var.object_lock == null ? 0 : 1

  bucket = aws_s3_bucket.archive.id

  rule {
    default_retention {
      mode = var.object_lock.mode
      days = var.object_lock.days
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  bucket = aws_s3_bucket.archive.id

  rule {
    bucket_key_enabled = true # one call to KMS for many objects

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = local.kms_key_arn
    }
  }
}

# Old versions go after a while, and what an upload that was cut off has left after a day.
resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  bucket = aws_s3_bucket.archive.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive]
}
