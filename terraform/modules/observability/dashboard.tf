locals {
  shard_metric = { for metric in ["DatabaseMemoryUsagePercentage", "EngineCPUUtilization", "ReplicationLag"] : metric => [
    for shard in values(local.shards) : concat([shard.namespace, metric], flatten([for k, v in shard.dimensions : [k, v]]))
  ] }
  balancer_dimensions = ["TargetGroup", var.target_group_arn_suffix, "LoadBalancer", var.load_balancer_arn_suffix]
  service_dimensions  = ["ClusterName", var.cluster_name, "ServiceName", var.service_name]

  # Title, statistic and metrics, three in a row.
  widgets = [
    { title = "Frontends: healthy and not", stat = "Maximum", metrics = [
      concat(["AWS/NetworkELB", "HealthyHostCount"], local.balancer_dimensions),
      concat(["AWS/NetworkELB", "UnHealthyHostCount"], local.balancer_dimensions),
    ] },
    { title = "Frontends that run", stat = "Average", metrics = [concat(["ECS/ContainerInsights", "RunningTaskCount"], local.service_dimensions)] },
    { title = "Processor and memory of frontends, percent", stat = "Maximum", metrics = [
      concat(["AWS/ECS", "CPUUtilization"], local.service_dimensions),
      concat(["AWS/ECS", "MemoryUtilization"], local.service_dimensions),
    ] },
    { title = "Calls a minute", stat = "Sum", metrics = [["tierd", "grpc_server_started_total", "frontends", var.name]] },
    { title = "Open streams of a frontend", stat = "Average", metrics = [["tierd", "tierd_open_streams", "frontends", var.name]] },
    { title = "Connections to the load balancer", stat = "Sum", metrics = [
      ["AWS/NetworkELB", "ActiveFlowCount", "LoadBalancer", var.load_balancer_arn_suffix],
      ["AWS/NetworkELB", "NewFlowCount", "LoadBalancer", var.load_balancer_arn_suffix],
    ] },
    { title = "Memory of shards, percent", stat = "Maximum", metrics = local.shard_metric["DatabaseMemoryUsagePercentage"] },
    { title = "Processor of shards, percent", stat = "Maximum", metrics = local.shard_metric["EngineCPUUtilization"] },
    { title = "Replicas behind, seconds", stat = "Maximum", metrics = local.shard_metric["ReplicationLag"] },
  ]
}

# What AWS sees. What tierd itself tells is in the workspace: deploy/grafana/tierd.json.
resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm", x = 0, y = 0, width = 24, height = 3
        properties = { title = "Alarms of ${var.name}", alarms = [for alarm in values(aws_cloudwatch_metric_alarm.this) : alarm.arn] }
      }],
      [for i, widget in local.widgets : {
        type = "metric", x = 8 * (i % 3), y = 3 + 6 * floor(i / 3), width = 8, height = 6
        properties = {
          title   = widget.title
          region  = local.region
          view    = "timeSeries"
          period  = 60
          stat    = widget.stat
          metrics = widget.metrics
        }
      }],
    )
  })
}
