output "topic_arn" {
  description = "Topic that all alarms go to."
  value       = aws_sns_topic.alarms.arn
}

output "workspace_id" {
  description = "Workspace of Amazon Managed Service for Prometheus."
  value       = aws_prometheus_workspace.this.id
}

output "workspace_arn" {
  description = "Its ARN, for whoever writes metrics."
  value       = aws_prometheus_workspace.this.arn
}

output "remote_write_url" {
  description = "Where metrics are written to."
  value       = "${aws_prometheus_workspace.this.prometheus_endpoint}api/v1/remote_write"
}

output "query_url" {
  description = "Data source for Grafana, with SigV4."
  value       = aws_prometheus_workspace.this.prometheus_endpoint
}

output "dashboard_name" {
  description = "CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "alarm_names" {
  description = "CloudWatch alarms."
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}
