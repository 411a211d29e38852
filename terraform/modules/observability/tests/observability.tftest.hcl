# What is watched, and who is told. The provider is a mock: nothing is created.
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
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:shop-alarms" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/observability" }
  }
  mock_resource "aws_prometheus_workspace" {
    defaults = {
      id                  = "ws-1"
      arn                 = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      prometheus_endpoint = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/"
    }
  }
}

variables {
  name                     = "shop"
  alarm_emails             = ["ops@shop.example"]
  cluster_arn              = "arn:aws:ecs:eu-central-1:111122223333:cluster/shop"
  cluster_name             = "shop"
  service_name             = "shop-frontends"
  min_count                = 3
  max_count                = 12
  load_balancer_arn_suffix = "net/shop-clients/0123456789abcdef"
  target_group_arn_suffix  = "targetgroup/shop-clients/0123456789abcdef"
  hot_tier_cluster_names   = ["shop-0", "shop-1"]
  dead_letter_queue_names  = { jobs = "shop-jobs", pki = "shop-pki" }
}

run "topic" {
  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == "arn:aws:kms:eu-central-1:111122223333:key/observability" && aws_kms_key.this.enable_key_rotation
    error_message = "alarms are encrypted with a key of their own"
  }
  assert {
    condition = { for s in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : s.Sid => s.Principal.Service if s.Effect == "Allow" } == {
      Alarms = "cloudwatch.amazonaws.com", Events = "events.amazonaws.com", Prometheus = "aps.amazonaws.com"
    }
    error_message = "three services may tell the topic, and nobody else"
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : s.Condition.StringEquals["aws:SourceAccount"] == "111122223333" && s.Condition.ArnLike["aws:SourceArn"] != "*" if s.Effect == "Allow" && s.Sid != "Events"])
    error_message = "and they for this account and these resources alone"
  }
  assert {
    condition     = alltrue([for policy in [aws_sns_topic_policy.alarms.policy, aws_kms_key.this.policy] : [for s in jsondecode(policy).Statement : can(s.Condition) if s.Sid == "Events"] == [false]])
    error_message = "but events, which have to get through whatever EventBridge says of itself"
  }
  assert {
    condition     = [for s in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : s.Condition if s.Effect == "Deny"] == [{ Bool = { "aws:SecureTransport" = "false" } }]
    error_message = "only by TLS"
  }
  assert {
    condition     = aws_sns_topic_subscription.email["ops@shop.example"].protocol == "email"
    error_message = "people are told"
  }
}

run "prometheus" {
  variables {
    runbook_base_url = "https://wiki.shop.example/runbooks"
  }
  assert {
    condition     = contains(flatten([for g in yamldecode(aws_prometheus_rule_group_namespace.alerts.data).groups : [for r in g.rules : r.alert]]), "TierdArchiveLag")
    error_message = "the rules of deploy/prometheus are the workspace's"
  }
  assert {
    condition     = alltrue(flatten([for g in yamldecode(aws_prometheus_rule_group_namespace.alerts.data).groups : [for r in g.rules : r.annotations.runbook_url == "https://wiki.shop.example/runbooks#${lower(r.alert)}"]]))
    error_message = "each with its runbook"
  }
  assert {
    condition     = yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this.definition).alertmanager_config).receivers[0].sns_configs[0].topic_arn == "arn:aws:sns:eu-central-1:111122223333:shop-alarms"
    error_message = "alerts go to the topic"
  }
  assert {
    condition     = output.remote_write_url == "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    error_message = "where frontends write to"
  }
  assert {
    condition     = aws_prometheus_workspace.this.kms_key_arn == "arn:aws:kms:eu-central-1:111122223333:key/observability"
    error_message = "metrics are encrypted with a key of their own"
  }
}

run "alarms" {
  assert {
    condition = toset(output.alarm_names) == toset([
      "shop-TierdNoHealthyFrontend", "shop-TierdUnhealthyFrontend", "shop-TierdTooFewTasks", "shop-TierdAtMaxCount",
      "shop-TierdFrontendMemory", "shop-TierdMetricsMissing", "shop-TierdJobNotStarted-jobs", "shop-TierdJobNotStarted-pki",
      "shop-TierdShardMemory-0", "shop-TierdShardMemory-1", "shop-TierdShardProcessor-0", "shop-TierdShardProcessor-1",
      "shop-TierdReplicationLag-0", "shop-TierdReplicationLag-1",
    ])
    error_message = "the alarms"
  }
  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.this : a.alarm_actions == toset(["arn:aws:sns:eu-central-1:111122223333:shop-alarms"]) && a.ok_actions == a.alarm_actions])
    error_message = "each tells of its beginning and its end"
  }
  assert {
    condition     = alltrue([for k, a in aws_cloudwatch_metric_alarm.this : endswith(a.alarm_description, "docs/runbooks.md#${lower(split("-", k)[0])}")])
    error_message = "each with its runbook"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["TierdShardMemory-1"].dimensions == tomap({ ClusterName = "shop-1" }) && aws_cloudwatch_metric_alarm.this["TierdShardMemory-1"].threshold == 75 && aws_cloudwatch_metric_alarm.this["TierdShardMemory-1"].namespace == "AWS/MemoryDB"
    error_message = "the memory of each shard"
  }
  assert {
    condition     = alltrue([for k in ["TierdNoHealthyFrontend", "TierdTooFewTasks", "TierdMetricsMissing"] : aws_cloudwatch_metric_alarm.this[k].treat_missing_data == "breaching"])
    error_message = "silence is an alarm"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["TierdTooFewTasks"].threshold == 3 && aws_cloudwatch_metric_alarm.this["TierdAtMaxCount"].threshold == 12
    error_message = "the bounds of the frontends"
  }
}

run "elasticache" {
  variables {
    engine            = "elasticache"
    hot_tier_replicas = 2
  }
  assert {
    condition     = length([for k in keys(aws_cloudwatch_metric_alarm.this) : k if startswith(k, "TierdShardMemory-")]) == 6 && aws_cloudwatch_metric_alarm.this["TierdShardMemory-1-003"].dimensions == tomap({ CacheClusterId = "shop-1-003" })
    error_message = "each node of ElastiCache is watched"
  }
}

run "events" {
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["TierdJobFailed"].event_pattern).detail.clusterArn == [var.cluster_arn] && jsondecode(aws_cloudwatch_event_rule.this["TierdJobFailed"].event_pattern).detail.group == [{ prefix = "family:shop-" }]
    error_message = "jobs of this cluster"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["TierdJobFailed"].event_pattern).detail["$or"][0].containers.exitCode == [{ "anything-but" = [0] }]
    error_message = "that end with another code than 0"
  }
  assert {
    condition     = alltrue([for t in aws_cloudwatch_event_target.this : t.arn == "arn:aws:sns:eu-central-1:111122223333:shop-alarms" && strcontains(t.input_transformer[0].input_template, "runbooks.md#tierd")])
    error_message = "people are told, with the runbook"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["TierdDeploymentFailed"].event_pattern).resources == ["arn:aws:ecs:eu-central-1:111122223333:service/shop/shop-frontends"]
    error_message = "and of deployments that were rolled back"
  }
}

run "dashboard" {
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 10 && aws_cloudwatch_dashboard.this.dashboard_name == "shop"
    error_message = "a dashboard of what AWS sees"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[7].properties.metrics == [["AWS/MemoryDB", "DatabaseMemoryUsagePercentage", "ClusterName", "shop-0"], ["AWS/MemoryDB", "DatabaseMemoryUsagePercentage", "ClusterName", "shop-1"]]
    error_message = "with each shard"
  }
}

run "refuses" {
  command = plan
  variables {
    alarm_emails           = ["ops"]
    alarm_subscriptions    = { pager = { protocol = "http", endpoint = "http://pager.example" } }
    runbook_base_url       = "runbooks.md"
    engine                 = "redis"
    shard_memory_percent   = 95
    hot_tier_cluster_names = []
  }
  expect_failures = [
    var.alarm_emails, var.alarm_subscriptions, var.runbook_base_url, var.engine, var.shard_memory_percent, var.hot_tier_cluster_names,
  ]
}
