locals {
  # What ECS tells of as it happens.
  events = {
    TierdJobFailed = {
      description = "A scheduled job ended with another code than 0, or could not be started"
      pattern = {
        source      = ["aws.ecs"]
        detail-type = ["ECS Task State Change"]
        detail = {
          clusterArn = [var.cluster_arn]
          lastStatus = ["STOPPED"]
          group      = [{ prefix = "family:${var.name}-" }]
          "$or" = [
            { containers = { exitCode = [{ anything-but = [0] }] } },
            { stopCode = ["TaskFailedToStart"] },
          ]
        }
      }
      paths = {
        what   = "$.detail.group"
        code   = "$.detail.containers[0].exitCode"
        reason = "$.detail.stoppedReason"
        task   = "$.detail.taskArn"
      }
      text = "${var.name}: the job <what> ended with code <code> (<reason>)."
    }
    TierdDeploymentFailed = {
      description = "New frontends did not become healthy; ECS has gone back to those before"
      pattern = {
        source      = ["aws.ecs"]
        detail-type = ["ECS Deployment State Change"]
        resources   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:service/${var.cluster_name}/${var.service_name}"]
        detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
      }
      paths = {
        what   = "$.resources[0]"
        reason = "$.detail.reason"
        task   = "$.detail.deploymentId"
      }
      text = "${var.name}: a deployment of <what> failed (<reason>)."
    }
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.events

  name          = "${var.name}-${each.key}"
  description   = each.value.description
  event_pattern = jsonencode(each.value.pattern)
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.events

  rule      = aws_cloudwatch_event_rule.this[each.key].name
  target_id = "alarms"
  arn       = aws_sns_topic.alarms.arn

  input_transformer {
    input_paths    = each.value.paths
    input_template = "\"${each.value.text} <task> ${var.runbook_base_url}#${lower(each.key)}\""
  }
}
