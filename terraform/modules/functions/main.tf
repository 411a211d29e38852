locals {
  archive_environment = {
    TIERD_KEYSPACE        = var.keyspace
    TIERD_OBJECT_TIER     = var.object_tier.url
    TIERD_ARCHIVE_KMS_KEY = var.object_tier.archive_kms_key_arn
  }
  password     = { TIERD_HOT_TIER_PASSWORD = var.hot_tier_password_secret_arn }
  drill_target = coalesce(var.drill_hot_tier_url, var.endpoints[length(var.endpoints) - 1])

  # What each job is. Its rights are in iam.tf, under the same name.
  all_jobs = {
    shard-apply = {
      description = "Brings the shards of ${var.name} to the list that Terraform has"
      schedule    = var.schedules.shard_apply
      command     = concat(["shard", "apply"], var.endpoints)
      environment = {
        TIERD_KEYSPACE     = var.keyspace
        TIERD_HOT_TIER     = var.endpoints[0]
        TIERD_REPLICA_ACKS = tostring(var.replica_acks)
        # Where values are sealed, whoever opens the keyspace must have their key.
        TIERD_ARCHIVE_KMS_KEY = var.object_tier.archive_kms_key_arn
      }
      secrets = local.password
      size    = { cpu = 256, memory = 512 }
    }
    archive-verify = {
      description = "Reads and checks every object of the archive of ${var.name}"
      schedule    = var.schedules.archive_verify
      command     = ["backup", "verify"]
      environment = local.archive_environment
      secrets     = {}
      size        = var.archive_job_size
    }
    archive-prune = {
      description = "Removes from the archive of ${var.name} what need not be kept"
      schedule    = var.schedules.archive_prune
      command = [
        "backup", "prune", "--confirm", "--keep-age", var.keep.age,
        "--keep-daily", tostring(var.keep.daily), "--keep-weekly", tostring(var.keep.weekly),
      ]
      environment = local.archive_environment
      secrets     = {}
      size        = var.archive_job_size
    }
    restore-drill = {
      description = "Restores the archive of ${var.name} to a scratch keyspace, compares it and removes it again"
      schedule    = var.schedules.restore_drill
      command     = ["backup", "verify", "--restore", "--scratch-hot-tier", local.drill_target, "--scratch-keyspace", var.drill_keyspace]
      environment = local.archive_environment
      secrets     = local.password
      size        = var.archive_job_size
    }
  }
}

module "job" {
  source   = "../job"
  for_each = { for name, job in local.all_jobs : name => job if contains(var.jobs, name) }

  name                = var.name
  tags                = var.tags
  job                 = each.key
  description         = each.value.description
  image               = var.image
  repository_arns     = var.repository_arns
  cpu_architecture    = var.cpu_architecture
  cpu                 = each.value.size.cpu
  memory              = each.value.size.memory
  command             = each.value.command
  environment         = each.value.environment
  secrets             = each.value.secrets
  secret_kms_key_arns = length(each.value.secrets) > 0 && var.hot_tier_password_kms_key_arn != null ? [var.hot_tier_password_kms_key_arn] : []
  policy              = jsonencode({ Version = "2012-10-17", Statement = local.statements[each.key] })
  cluster_arn         = var.cluster_arn
  subnet_ids          = var.subnet_ids
  security_group_ids  = var.security_group_ids
  schedule            = each.value.schedule
  log_group           = { name = aws_cloudwatch_log_group.jobs.name, arn = aws_cloudwatch_log_group.jobs.arn }

  dead_letter_queue_arn = aws_sqs_queue.dead_letters.arn
}

resource "aws_cloudwatch_log_group" "jobs" {
  name              = "/tierd/${var.name}/jobs"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

# Runs that could not be started within an hour.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-jobs"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}
