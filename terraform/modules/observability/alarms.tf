locals {
  load_balancer = { LoadBalancer = var.load_balancer_arn_suffix, TargetGroup = var.target_group_arn_suffix }
  service       = { ClusterName = var.cluster_name, ServiceName = var.service_name }

  # Nodes of a replication group are numbered from 001; a MemoryDB cluster has metrics of its own.
  shards = var.engine == "memorydb" ? {
    for i, cluster in var.hot_tier_cluster_names : tostring(i) => { namespace = "AWS/MemoryDB", dimensions = { ClusterName = cluster }, name = cluster }
    } : merge([
      for i, group in var.hot_tier_cluster_names : {
        for n in range(var.hot_tier_replicas + 1) : format("%d-%03d", i, n + 1) => {
          namespace  = "AWS/ElastiCache"
          dimensions = { CacheClusterId = format("%s-%03d", group, n + 1) }
          name       = format("%s-%03d", group, n + 1)
        }
      }
  ]...)

  # What CloudWatch sees and tierd's own series do not tell. Each has its heading in docs/runbooks.md.
  alarms = merge(
    {
      TierdNoHealthyFrontend = {
        text      = "The load balancer has no healthy frontend to send clients to."
        namespace = "AWS/NetworkELB", metric = "HealthyHostCount", dimensions = local.load_balancer
        statistic = "Maximum", operator = "LessThanThreshold", threshold = 1, period = 60, periods = 3, missing = "breaching"
      }
      TierdUnhealthyFrontend = {
        text      = "A frontend has not been ready for ten minutes."
        namespace = "AWS/NetworkELB", metric = "UnHealthyHostCount", dimensions = local.load_balancer
        statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 0, period = 60, periods = 10, missing = "notBreaching"
      }
      TierdTooFewTasks = {
        text      = "Fewer frontends run than there must be."
        namespace = "ECS/ContainerInsights", metric = "RunningTaskCount", dimensions = local.service
        statistic = "Average", operator = "LessThanThreshold", threshold = var.min_count, period = 60, periods = 10, missing = "breaching"
      }
      TierdAtMaxCount = {
        text      = "As many frontends run as may: there will be no more, whatever comes."
        namespace = "ECS/ContainerInsights", metric = "RunningTaskCount", dimensions = local.service
        statistic = "Average", operator = "GreaterThanOrEqualToThreshold", threshold = var.max_count, period = 300, periods = 6, missing = "notBreaching"
      }
      TierdFrontendMemory = {
        text      = "Frontends use nearly all of their memory: they will be killed."
        namespace = "AWS/ECS", metric = "MemoryUtilization", dimensions = local.service
        statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 90, period = 60, periods = 10, missing = "notBreaching"
      }
      TierdMetricsMissing = {
        text      = "Frontends send no metrics: alerts from Prometheus would be silent, and no frontend is added under load."
        namespace = "tierd", metric = "tierd_open_streams", dimensions = { frontends = var.name }
        statistic = "SampleCount", operator = "LessThanThreshold", threshold = 1, period = 300, periods = 3, missing = "breaching"
      }
    },
    { for key, queue in var.dead_letter_queue_names : "TierdJobNotStarted-${key}" => {
      text      = "A scheduled job could not be started for an hour."
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue }
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 0, period = 300, periods = 1, missing = "notBreaching"
    } },
    { for key, shard in local.shards : "TierdShardMemory-${key}" => {
      text      = "${shard.name} uses more than ${var.shard_memory_percent} percent of its memory. At 100, writes to it are refused."
      namespace = shard.namespace, metric = "DatabaseMemoryUsagePercentage", dimensions = shard.dimensions
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = var.shard_memory_percent, period = 300, periods = 3, missing = "notBreaching"
    } },
    { for key, shard in local.shards : "TierdShardProcessor-${key}" => {
      text      = "The one core that runs the commands of ${shard.name} is busy."
      namespace = shard.namespace, metric = "EngineCPUUtilization", dimensions = shard.dimensions
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 80, period = 300, periods = 3, missing = "notBreaching"
    } },
    { for key, shard in local.shards : "TierdReplicationLag-${key}" => {
      text      = "A replica of ${shard.name} is behind its primary."
      namespace = shard.namespace, metric = "ReplicationLag", dimensions = shard.dimensions
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 10, period = 60, periods = 10, missing = "notBreaching"
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.text} ${var.runbook_base_url}#${lower(split("-", each.key)[0])}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}
