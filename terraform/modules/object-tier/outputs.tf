output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.archive.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.archive.arn
}

output "kms_key_arn" {
  description = "Key with which S3 encrypts: BucketKey of deploy/s3/kms.json."
  value       = local.kms_key_arn
}

output "archive_kms_key_arn" {
  description = "Master key of the archive, for tierd's archive-kms-key: ArchiveKey of deploy/s3/kms.json. A multi-Region key."
  value       = local.archive_key
}

output "url" {
  description = "The archive's place as tierd's object-tier takes it."
  value       = "s3://${aws_s3_bucket.archive.bucket}/keyspaces?region=${local.region}&sse=aws:kms:${local.kms_key_arn}"

  # Nothing is archived before what must not happen is forbidden.
  depends_on = [
    aws_s3_bucket_policy.archive, aws_s3_bucket_public_access_block.archive, aws_s3_bucket_ownership_controls.archive,
    aws_s3_bucket_versioning.archive, aws_s3_bucket_server_side_encryption_configuration.archive,
  ]
}

output "deletion_protection" {
  description = "Whether the bucket and the keys refuse to be destroyed."
  value       = terraform_data.guard.input.protected
}

output "replication" {
  description = "Where the archive is replicated to, as the variable; null: nowhere."
  value = one([for copy in aws_s3_bucket_replication_configuration.archive : {
    bucket_arn  = copy.rule[0].destination[0].bucket
    kms_key_arn = copy.rule[0].destination[0].encryption_configuration[0].replica_kms_key_id
  }])
}
