# What this configuration wires. terraform test -var-file=terraform.tfvars.example: the example's values are tried.

mock_provider "aws" {
  source          = "../../modules/deployment/tests/mocks"
  override_during = plan
}

override_data {
  target          = data.aws_region.current
  override_during = plan
  values          = { region = "eu-west-1" }
}

override_resource {
  target          = module.object_tier.aws_s3_bucket.archive
  override_during = plan
  values          = { arn = "arn:aws:s3:::copy" }
}

override_resource {
  target          = module.object_tier.aws_kms_key.bucket
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-west-1:111122223333:key/bucket" }
}

override_resource {
  target          = aws_security_group.jobs
  override_during = plan
  values          = { id = "sg-jobs" }
}

run "the_primary_replicates_to_this_bucket" {
  command = plan

  assert {
    condition     = output.replication_target == { bucket_arn = "arn:aws:s3:::copy", kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/bucket" }
    error_message = "the primary region is told another bucket, or another key than this region's own"
  }
  assert {
    condition     = strcontains(output.archive.url, "s3://${module.object_tier.bucket}/") && module.object_tier.deletion_protection
    error_message = "the copy is elsewhere, or can be destroyed by mistake"
  }
}

run "the_copy_opens_with_this_regions_replica_of_the_key" {
  command = plan

  assert {
    condition     = split(":", output.archive.kms_key_arn)[3] == "eu-west-1" && split("/", output.archive.kms_key_arn)[1] == split("/", var.primary.archive_kms_key_arn)[1]
    error_message = "the archive's master key is not a replica in this region of the primary's"
  }
}

run "jobs_prove_it_and_change_nothing" {
  command = plan

  assert {
    condition     = keys(module.functions.commands) == ["archive-verify", "restore-drill"]
    error_message = "a job of the standby region changes the archive or a shard map"
  }
  assert {
    condition     = contains(module.functions.commands["restore-drill"], module.hot_tier.endpoints[0])
    error_message = "the drill is not to this region's hot tier"
  }
}

run "a_restore_waits_for_somebody" {
  command = plan

  assert {
    condition     = join(" ", module.restore.container.command) == "restore --to-hot-tier ${module.hot_tier.endpoints[0]} --verify"
    error_message = "what the restore does"
  }
  assert {
    condition     = { for e in module.restore.container.environment : e.name => e.value }["TIERD_OBJECT_TIER"] == output.archive.url && { for e in module.restore.container.environment : e.name => e.value }["TIERD_ARCHIVE_KMS_KEY"] == output.archive.kms_key_arn
    error_message = "the restore reads another archive, or with another key"
  }
  assert {
    condition     = length([for statement in jsondecode(module.restore.policy).Statement : statement if length([for action in flatten([statement.Action]) : action if !contains(["s3:GetObject", "s3:ListBucket", "kms:Decrypt", "kms:Encrypt"], action)]) > 0]) == 0
    error_message = "the restore may do more than read the copy"
  }
}

run "only_jobs_reach_the_hot_tier" {
  command = plan

  assert {
    condition     = module.hot_tier.client_security_group_ids == ["sg-jobs"] && module.network.endpoint_client_security_group_ids == ["sg-jobs"]
    error_message = "others than the jobs reach the hot tier or AWS' endpoints"
  }
}

run "a_job_that_fails_is_told_of" {
  command = plan

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.job_failed.event_pattern).detail.clusterArn == [aws_ecs_cluster.jobs.arn] && aws_cloudwatch_event_target.job_failed.arn == aws_sns_topic.alarms.arn
    error_message = "nobody hears of a job that failed"
  }
  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == aws_kms_key.alarms.arn && keys(aws_sns_topic_subscription.email) == ["ops@example.com"]
    error_message = "alarms are not encrypted, or reach nobody"
  }
}
