data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  full_name = "${var.name}-${var.job}"
  # A schedule by rate fires when it is made. So one whose job is to do something else is made anew.
  revision = substr(sha256(jsonencode([var.command, var.environment])), 0, 8)

  container = {
    name                   = var.job
    image                  = var.image
    command                = var.command
    essential              = true
    privileged             = false
    readonlyRootFilesystem = true
    user                   = "65532:65532"
    linuxParameters = {
      capabilities       = { add = [], drop = ["ALL"] }
      initProcessEnabled = false
    }
    # The root cannot be written.
    environment = [for k, v in merge(var.environment, { TIERD_DATA_DIR = "/data", TMPDIR = "/data" }) : { name = k, value = v }]
    secrets     = [for k, v in var.secrets : { name = k, valueFrom = v }]
    mountPoints = [{ sourceVolume = "data", containerPath = "/data", readOnly = false }]
    stopTimeout = 120
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "job"
      }
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.full_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.cpu)
  memory                   = tostring(var.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  # It takes owner and mode from the VOLUME of the image at the same path.
  volume {
    name = "data"
  }
}

# Of its own: what may take the scheduler's role can be bound to a group, not to a schedule.
resource "aws_scheduler_schedule_group" "this" {
  name = local.full_name
  tags = var.tags
}

resource "aws_scheduler_schedule" "this" {
  group_name                   = aws_scheduler_schedule_group.this.name
  name                         = "${local.full_name}-${local.revision}"
  description                  = var.description
  schedule_expression          = var.schedule
  schedule_expression_timezone = "UTC"
  state                        = var.enabled ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.this.arn
      launch_type         = "FARGATE"
      platform_version    = "LATEST"
      task_count          = 1

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = var.security_group_ids
        assign_public_ip = false
      }
    }

    # A job that cannot be started, for want of capacity say, is tried for an hour.
    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 10
    }

    dead_letter_config {
      arn = var.dead_letter_queue_arn
    }
  }

  depends_on = [aws_iam_role_policy.scheduler, aws_iam_role_policy.execution, aws_iam_role_policy.task]
}
