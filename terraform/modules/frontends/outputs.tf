output "endpoint" {
  description = "Where clients connect to: https://NAME:2379."
  value       = local.endpoint
}

output "load_balancer_dns_name" {
  description = "The load balancer's own name, which the server's certificate should have as well."
  value       = aws_lb.this.dns_name
}

output "load_balancer_arn_suffix" {
  description = "The load balancer in CloudWatch's dimensions."
  value       = aws_lb.this.arn_suffix
}

output "target_group_arn_suffix" {
  description = "The target group in CloudWatch's dimensions."
  value       = aws_lb_target_group.clients.arn_suffix
}

output "security_group_id" {
  description = "The frontends' security group, which the hot tier has to let in."
  value       = aws_security_group.frontends.id
}

output "cluster_arn" {
  description = "The ECS cluster, in which jobs may run too."
  value       = aws_ecs_cluster.this.arn
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.frontends.name
}

output "task_role_arn" {
  description = "Role of the frontends."
  value       = aws_iam_role.task.arn
}

output "log_group_name" {
  description = "Where the frontends' logs are."
  value       = aws_cloudwatch_log_group.frontends.name
}

output "log_kms_key_arn" {
  description = "Key that the logs are encrypted with, for all log groups below /tierd/NAME/."
  value       = local.log_kms_key_arn
}

output "settings" {
  description = "What tierd serve runs with, by its variables: whoever serves or repairs the same keyspace elsewhere needs the same."
  value       = local.settings
}

output "secrets" {
  description = "The settings that are secret, by their variables: ARNs of the secrets."
  value       = { for secret in local.frontend.secrets : secret.name => secret.valueFrom }
}

output "min_count" {
  description = "Least number of frontends."
  value       = aws_appautoscaling_target.frontends.min_capacity
}

output "max_count" {
  description = "Greatest number of frontends."
  value       = aws_appautoscaling_target.frontends.max_capacity
}
