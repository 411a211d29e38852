# Which jobs there are, when they run, and what each may do. The provider is a mock: nothing is created.
mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  name                         = "shop"
  image                        = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/tierd:1.0.0"
  cluster_arn                  = "arn:aws:ecs:eu-central-1:111122223333:cluster/shop"
  subnet_ids                   = ["subnet-a", "subnet-b"]
  security_group_ids           = ["sg-1"]
  endpoints                    = ["rediss://tierd@shop-0.example:6379", "rediss://tierd@shop-1.example:6379"]
  hot_tier_password_secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/redis-AbCdEf"
  replica_acks                 = 1
  log_kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/logs"
  object_tier = {
    url                 = "s3://shop-archive/keyspaces?region=eu-central-1"
    bucket_arn          = "arn:aws:s3:::shop-archive"
    kms_key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/bucket"
    archive_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/archive"
  }
}

run "jobs" {
  assert {
    condition = { for name, job in module.job : name => join(" ", job.container.command) } == {
      shard-apply    = "shard apply rediss://tierd@shop-0.example:6379 rediss://tierd@shop-1.example:6379"
      archive-verify = "backup verify"
      archive-prune  = "backup prune --confirm --keep-age 30d --keep-daily 90 --keep-weekly 52"
      restore-drill  = "backup verify --restore --scratch-hot-tier rediss://tierd@shop-1.example:6379 --scratch-keyspace drill"
    }
    error_message = "what the jobs do"
  }
  assert {
    condition = { for name, job in module.job : name => job.schedule_expression } == {
      shard-apply    = "rate(5 minutes)"
      archive-verify = "cron(15 2 * * ? *)"
      archive-prune  = "cron(15 4 * * ? *)"
      restore-drill  = "cron(15 5 ? * SUN *)"
    }
    error_message = "the shard map every five minutes, the archive each day, a drill each week"
  }
  assert {
    condition     = { for e in module.job["shard-apply"].container.environment : e.name => e.value }["TIERD_HOT_TIER"] == "rediss://tierd@shop-0.example:6379" && { for e in module.job["shard-apply"].container.environment : e.name => e.value }["TIERD_REPLICA_ACKS"] == "1"
    error_message = "the home shard is the first, and a move is as safe as what clients write"
  }
  assert {
    condition     = { for e in module.job["restore-drill"].container.environment : e.name => e.value }["TIERD_OBJECT_TIER"] == var.object_tier.url && { for e in module.job["restore-drill"].container.environment : e.name => e.value }["TIERD_ARCHIVE_KMS_KEY"] == var.object_tier.archive_kms_key_arn
    error_message = "the archive and its key"
  }
}

run "rights" {
  assert {
    condition = { for name, job in module.job : name => jsonencode({ for s in jsondecode(job.policy).Statement : s.Sid => sort(flatten([s.Action])) }) } == {
      shard-apply = jsonencode({ ArchiveKey = ["kms:Decrypt"] })
      archive-verify = jsonencode({
        List = ["s3:ListBucket"], Read = ["s3:GetObject"], ArchiveKey = ["kms:Decrypt"], BucketKey = ["kms:Decrypt"]
      })
      archive-prune = jsonencode({
        List       = ["s3:ListBucket"], Read = ["s3:GetObject"], Mark = ["s3:PutObject"], Remove = ["s3:DeleteObject"]
        ArchiveKey = ["kms:Decrypt"], BucketKey = ["kms:Decrypt", "kms:GenerateDataKey"]
      })
      restore-drill = jsonencode({
        List = ["s3:ListBucket"], Read = ["s3:GetObject"], ArchiveKey = ["kms:Decrypt"], BucketKey = ["kms:Decrypt"]
      })
    }
    error_message = "each job may these, and nothing else"
  }
  assert {
    condition     = alltrue(flatten([for job in module.job : [for r in flatten([for s in jsondecode(job.policy).Statement : s.Resource if startswith(flatten([s.Action])[0], "s3:")]) : r == "arn:aws:s3:::shop-archive" || startswith(r, "arn:aws:s3:::shop-archive/keyspaces/default/")]]))
    error_message = "jobs reach their keyspace alone"
  }
  assert {
    condition     = toset([for name, job in module.job : name if length(job.container.secrets) > 0]) == toset(["shard-apply", "restore-drill"])
    error_message = "who needs no Redis has no password"
  }
  assert {
    condition     = alltrue([for r in flatten([for s in jsondecode(module.job["archive-prune"].policy).Statement : s.Resource if s.Sid == "Remove"]) : can(regex("/timelines/\\*/(log|base)/\\*$", r))])
    error_message = "keys of the archive are never removed"
  }
}

run "what_fails_is_told" {
  assert {
    condition     = aws_sqs_queue.dead_letters.sqs_managed_sse_enabled && aws_sqs_queue.dead_letters.message_retention_seconds == 1209600
    error_message = "runs that could not be started are kept, encrypted"
  }
  assert {
    condition     = aws_cloudwatch_log_group.jobs.kms_key_id == var.log_kms_key_arn && aws_cloudwatch_log_group.jobs.retention_in_days == 365
    error_message = "logs are kept, encrypted"
  }
}

run "elsewhere" {
  variables {
    drill_hot_tier_url = "rediss://tierd@scratch.example:6379"
    keyspace           = "shop"
    keep               = { age = "72h", daily = 7, weekly = 0 }
  }
  assert {
    condition     = contains(module.job["restore-drill"].container.command, "rediss://tierd@scratch.example:6379")
    error_message = "a drill may go to a Redis of its own"
  }
  assert {
    condition     = join(" ", module.job["archive-prune"].container.command) == "backup prune --confirm --keep-age 72h --keep-daily 7 --keep-weekly 0"
    error_message = "what is kept is chosen"
  }
  assert {
    condition     = contains(flatten([for s in jsondecode(module.job["archive-verify"].policy).Statement : s.Resource]), "arn:aws:s3:::shop-archive/keyspaces/shop/*")
    error_message = "the keyspace's own objects"
  }
}

run "refuses" {
  command = plan
  variables {
    endpoints      = ["rediss://tierd:secret@shop-0.example:6379"]
    schedules      = { archive_verify = "daily" }
    keep           = { age = "a month" }
    drill_keyspace = "default"
  }
  expect_failures = [var.endpoints, var.schedules, var.keep, var.drill_keyspace]
}

run "a_region_that_keeps_a_copy_changes_nothing" {
  variables {
    jobs = ["archive-verify", "restore-drill"]
  }

  assert {
    condition     = keys(module.job) == ["archive-verify", "restore-drill"] && keys(output.commands) == ["archive-verify", "restore-drill"]
    error_message = "other jobs than those asked for"
  }
}

run "an_unknown_job_is_refused" {
  command = plan

  variables {
    jobs = ["archive-delete"]
  }

  expect_failures = [var.jobs]
}
