output "commands" {
  description = "What the jobs have tierd do."
  value       = { for name, job in module.job : name => job.container.command }
}

output "schedule_arns" {
  description = "The schedules, by job."
  value       = { for name, job in module.job : name => job.schedule_arn }
}

output "task_definition_arns" {
  description = "The jobs, to run them by hand."
  value       = { for name, job in module.job : name => job.task_definition_arn }
}

output "task_role_arns" {
  description = "Roles of the jobs."
  value       = { for name, job in module.job : name => job.task_role_arn }
}

output "log_group_name" {
  description = "Where the jobs' logs are."
  value       = aws_cloudwatch_log_group.jobs.name
}

output "dead_letter_queue_name" {
  description = "Queue for runs that could not be started."
  value       = aws_sqs_queue.dead_letters.name
}
