data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  # Where the runbooks of deploy/prometheus/alerts.yaml are by default.
  runbooks_of_rules = "https://github.com/tierd/tierd/blob/main/docs/runbooks.md"
}

resource "aws_prometheus_workspace" "this" {
  alias       = var.name
  kms_key_arn = aws_kms_key.this.arn
  tags        = var.tags
}

# The same rules as in any Prometheus, with the runbooks where they are read here.
resource "aws_prometheus_rule_group_namespace" "alerts" {
  name         = "tierd"
  workspace_id = aws_prometheus_workspace.this.id
  data         = replace(file("${path.module}/../../../deploy/prometheus/alerts.yaml"), local.runbooks_of_rules, var.runbook_base_url)
  tags         = var.tags
}

resource "aws_prometheus_alert_manager_definition" "this" {
  workspace_id = aws_prometheus_workspace.this.id

  definition = yamlencode({
    alertmanager_config = yamlencode({
      route = {
        receiver        = "operators"
        group_by        = ["alertname"]
        group_wait      = "30s"
        group_interval  = "5m"
        repeat_interval = "4h"
      }
      receivers = [{
        name = "operators"
        sns_configs = [{
          topic_arn     = aws_sns_topic.alarms.arn
          send_resolved = true
          sigv4         = { region = local.region }
          subject       = "${var.name}: {{ .GroupLabels.alertname }} ({{ .Status }})"
          message       = "{{ range .Alerts }}{{ .Labels.alertname }} ({{ .Labels.severity }}, {{ .Status }}): {{ .Annotations.summary }}\n{{ .Annotations.description }}\n{{ .Annotations.runbook_url }}\n\n{{ end }}"
        }]
      }]
    })
  })

  depends_on = [aws_sns_topic_policy.alarms]
}
