output "schedule_arn" {
  description = "The schedule."
  value       = aws_scheduler_schedule.this.arn
}

output "schedule_name" {
  description = "Its name, which is another one when the job is to do something else."
  value       = aws_scheduler_schedule.this.name
}

output "schedule_expression" {
  description = "When the job runs."
  value       = aws_scheduler_schedule.this.schedule_expression
}

output "task_definition_arn" {
  description = "What is run, to run it by hand as well: aws ecs run-task."
  value       = aws_ecs_task_definition.this.arn
}

output "container" {
  description = "The container as ECS runs it."
  value       = local.container
}

output "task_role_arn" {
  description = "Role of the job."
  value       = aws_iam_role.task.arn
}

output "task_role_name" {
  description = "Name of that role."
  value       = aws_iam_role.task.name
}

output "policy" {
  description = "What the job may do."
  value       = aws_iam_role_policy.task.policy
}
