output "replication_target" {
  description = "Value for archive_replication of the primary region's configuration."
  value = {
    bucket_arn  = module.object_tier.bucket_arn
    kms_key_arn = module.object_tier.kms_key_arn
  }
}

output "archive" {
  description = "The copy of the archive, as restoring commands take it: URL, bucket, and the ARN of its master key here."
  value = {
    url         = module.object_tier.url
    bucket      = module.object_tier.bucket
    kms_key_arn = module.object_tier.archive_kms_key_arn
  }
}

output "hot_tier_endpoints" {
  description = "Redis to restore to, without the password."
  value       = module.hot_tier.endpoints
}

output "hot_tier_password_secret_arn" {
  description = "Secret with the password of the hot tier's user."
  value       = module.hot_tier.password_secret_arn
}

output "restore" {
  description = "Run this when the primary region is lost: it restores the newest moment of the copy to this region's hot tier, and compares it."
  value = join(" ", [
    "aws ecs run-task --region ${local.region} --cluster ${aws_ecs_cluster.jobs.name} --launch-type FARGATE",
    "--task-definition ${module.restore.task_definition_arn}",
    "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", module.network.private_subnet_ids)}],securityGroups=[${aws_security_group.jobs.id}],assignPublicIp=DISABLED}'",
  ])
}

output "log_group_names" {
  description = "Where the logs of the jobs and of a restore are."
  value       = [module.functions.log_group_name, aws_cloudwatch_log_group.restore.name]
}
