locals {
  object_prefix = regex("^s3://[^/?]+/([^/?]+(?:/[^/?]+)*)", var.object_tier.url)[0]

  # The rights of tierd's commands are in deploy/s3, which tests hold to the code.
  s3_statements = { for command in ["read", "prune"] : command => jsondecode(replace(replace(
    file("${path.module}/../../../deploy/s3/${command}.json"),
    "arn:aws:s3:::BUCKET/PREFIX/default", "${var.object_tier.bucket_arn}/${local.object_prefix}/${var.keyspace}"),
    "arn:aws:s3:::BUCKET", var.object_tier.bucket_arn
  )).Statement }

  read_archive_key = [{ Sid = "ArchiveKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.object_tier.archive_kms_key_arn] }]
  read_bucket_key  = [{ Sid = "BucketKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.object_tier.kms_key_arn] }]
  write_bucket_key = [{ Sid = "BucketKey", Effect = "Allow", Action = ["kms:GenerateDataKey", "kms:Decrypt"], Resource = [var.object_tier.kms_key_arn] }]

  statements = {
    shard-apply    = local.read_archive_key
    archive-verify = concat(local.s3_statements["read"], local.read_archive_key, local.read_bucket_key)
    archive-prune  = concat(local.s3_statements["prune"], local.read_archive_key, local.write_bucket_key)
    restore-drill  = concat(local.s3_statements["read"], local.read_archive_key, local.read_bucket_key)
  }
}
