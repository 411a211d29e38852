# The restore itself, for the day that the primary region is lost: a task that runs only when somebody starts it (output
# restore), with the rights to read the copy and nothing else.

locals {
  read_statements = jsondecode(replace(replace(
    file("${path.module}/../../../deploy/s3/read.json"),
    "arn:aws:s3:::BUCKET/PREFIX/default", "${module.object_tier.bucket_arn}/keyspaces/${var.keyspace}"),
    "arn:aws:s3:::BUCKET", module.object_tier.bucket_arn
  )).Statement
}

module "restore" {
  source = "../../modules/job"

  name               = var.name
  job                = "restore"
  description        = "Restores the archive of ${var.name} to this region's hot tier; only by hand"
  enabled            = false
  schedule           = "rate(365 days)"
  image              = module.registry.images["tierd"]
  repository_arns    = values(module.registry.repository_arns)
  cpu                = 2048
  memory             = 8192
  command            = ["restore", "--to-hot-tier", module.hot_tier.endpoints[0], "--verify"]
  cluster_arn        = aws_ecs_cluster.jobs.arn
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [aws_security_group.jobs.id]
  log_group          = { name = aws_cloudwatch_log_group.restore.name, arn = aws_cloudwatch_log_group.restore.arn }

  environment = {
    TIERD_KEYSPACE        = var.keyspace
    TIERD_OBJECT_TIER     = module.object_tier.url
    TIERD_ARCHIVE_KMS_KEY = module.object_tier.archive_kms_key_arn
    TIERD_REPLICA_ACKS    = tostring(module.hot_tier.replica_acks)
  }

  secrets             = { TIERD_HOT_TIER_PASSWORD = module.hot_tier.password_secret_arn }
  secret_kms_key_arns = [module.hot_tier.kms_key_arn]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.read_statements, [
      # Encrypt: where values are sealed in Redis, their keys are made anew.
      { Sid = "ArchiveKey", Effect = "Allow", Action = ["kms:Decrypt", "kms:Encrypt"], Resource = [module.object_tier.archive_kms_key_arn] },
      { Sid = "BucketKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [module.object_tier.kms_key_arn] },
    ])
  })

  dead_letter_queue_arn = aws_sqs_queue.restore.arn
}

resource "aws_cloudwatch_log_group" "restore" {
  name              = "/tierd/${var.name}/restore"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_sqs_queue" "restore" {
  name                      = "${var.name}-restore"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}
