# A copy in another region, deletions included, encrypted by that region's key. What was deleted stays there as an old version, as here.

resource "aws_iam_role" "replication" {
  count = var.replication == null ? 0 : 1

  name        = "${var.name}-archive-replication"
  description = "Lets S3 copy the archive of ${var.name} to another region"

  # Without conditions on the source: S3 is not documented to say which bucket it takes the role for. Who may have S3 take it is a matter
  # of iam:PassRole, which is this account's.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "replication" {
  count = var.replication == null ? 0 : 1

  name = "replicate"
  role = aws_iam_role.replication[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Action   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
        Resource = [aws_s3_bucket.archive.arn]
      },
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["s3:GetObjectLegalHold", "s3:GetObjectRetention", "s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"]
        Resource = ["${aws_s3_bucket.archive.arn}/*"]
      },
      {
        Sid      = "Write"
        Effect   = "Allow"
        Action   = ["s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"]
        Resource = ["${var.replication.bucket_arn}/*"]
      },
      {
        Sid       = "Decrypt"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [local.kms_key_arn]
        Condition = { StringLike = { "kms:ViaService" = "s3.${local.region}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn" = "${aws_s3_bucket.archive.arn}*" } }
      },
      {
        Sid       = "Encrypt"
        Effect    = "Allow"
        Action    = ["kms:Encrypt", "kms:GenerateDataKey"]
        Resource  = [var.replication.kms_key_arn]
        Condition = { StringLike = { "kms:ViaService" = "s3.${split(":", var.replication.kms_key_arn)[3]}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn" = "${var.replication.bucket_arn}*" } }
      },
    ]
  })
}

resource "aws_s3_bucket_replication_configuration" "archive" {
  count = var.replication == null ? 0 : 1

  bucket = aws_s3_bucket.archive.id
  role   = aws_iam_role.replication[0].arn

  rule {
    id     = "everything"
    status = "Enabled"

    filter {}

    delete_marker_replication {
      status = "Enabled"
    }

    source_selection_criteria {
      sse_kms_encrypted_objects {
        status = "Enabled"
      }
    }

    destination {
      bucket        = var.replication.bucket_arn
      storage_class = "STANDARD"

      encryption_configuration {
        replica_kms_key_id = var.replication.kms_key_arn
      }

      # Within 15 minutes by contract; CloudWatch's ReplicationLatency tells.
      replication_time {
        status = "Enabled"

        time {
          minutes = 15
        }
      }

      metrics {
        status = "Enabled"

        event_threshold {
          minutes = 15
        }
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive, aws_iam_role_policy.replication]
}
