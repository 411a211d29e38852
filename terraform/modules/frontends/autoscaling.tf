resource "aws_appautoscaling_target" "frontends" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.frontends.name}"
  min_capacity       = var.min_count
  max_capacity       = var.max_count
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.frontends.service_namespace
  scalable_dimension = aws_appautoscaling_target.frontends.scalable_dimension
  resource_id        = aws_appautoscaling_target.frontends.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.autoscaling.cpu_percent
    scale_in_cooldown  = var.autoscaling.scale_in_cooldown
    scale_out_cooldown = var.autoscaling.scale_out_cooldown

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_appautoscaling_policy" "requests" {
  name               = "${var.name}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.frontends.service_namespace
  scalable_dimension = aws_appautoscaling_target.frontends.scalable_dimension
  resource_id        = aws_appautoscaling_target.frontends.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.autoscaling.requests_per_second
    scale_in_cooldown  = var.autoscaling.scale_in_cooldown
    scale_out_cooldown = var.autoscaling.scale_out_cooldown

    customized_metric_specification {
      metrics {
        id          = "calls"
        label       = "Calls begun in a minute, on all frontends"
        return_data = false

        metric_stat {
          stat = "Sum"

          metric {
            namespace   = local.metrics_namespace
            metric_name = "grpc_server_started_total"

            dimensions {
              name  = "frontends"
              value = var.name
            }
          }
        }
      }

      metrics {
        id          = "tasks"
        label       = "Frontends"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"

            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.this.name
            }

            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.frontends.name
            }
          }
        }
      }

      metrics {
        id          = "rate"
        label       = "Calls per second and frontend"
        expression  = "calls / tasks / 60"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "streams" {
  name               = "${var.name}-streams"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.frontends.service_namespace
  scalable_dimension = aws_appautoscaling_target.frontends.scalable_dimension
  resource_id        = aws_appautoscaling_target.frontends.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.autoscaling.open_streams
    scale_in_cooldown  = var.autoscaling.scale_in_cooldown
    scale_out_cooldown = var.autoscaling.scale_out_cooldown

    customized_metric_specification {
      namespace   = local.metrics_namespace
      metric_name = "tierd_open_streams"
      statistic   = "Average"

      dimensions {
        name  = "frontends"
        value = var.name
      }
    }
  }
}
