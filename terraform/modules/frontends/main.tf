data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  client_port = 2379
  # Metrics and health are served without TLS on a port that only the load balancer may reach: a health
  # check of the load balancer has no certificate.
  health_port = 2381
  # A frontend that refuses a shard which has lost writes may hold those writes in memory. It must not be
  # replaced for that, so the check of corruption is left out; it raises an alarm instead.
  health_query = "exclude=data_corruption"

  endpoint_name = coalesce(var.endpoint_name, aws_lb.this.dns_name)
  endpoint      = "https://${local.endpoint_name}:${local.client_port}"
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = var.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_service" "frontends" {
  name             = "${var.name}-frontends"
  cluster          = aws_ecs_cluster.this.arn
  task_definition  = aws_ecs_task_definition.frontend.arn
  desired_count    = var.min_count
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"
  tags             = var.tags

  # Another frontend serves before one goes, and an unhealthy one goes only once another is healthy: if
  # the cause is elsewhere, such as a shard without a primary, all stay with what they hold in memory.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  health_check_grace_period_seconds  = 180
  wait_for_steady_state              = var.wait_for_steady_state
  enable_execute_command             = false
  enable_ecs_managed_tags            = true

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.frontends.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.clients.arn
    container_name   = "frontend"
    container_port   = local.client_port
  }

  timeouts {
    create = "30m"
    update = "60m"
    delete = "30m"
  }

  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [aws_lb_listener.clients, aws_iam_role_policy.execution, aws_iam_role_policy.task]
}
