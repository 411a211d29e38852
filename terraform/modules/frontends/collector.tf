locals {
  metrics_namespace = "tierd"
  # The two series by which frontends are added, in CloudWatch; everything goes to Prometheus.
  scaling_series = ["grpc_server_started_total", "tierd_open_streams"]

  collector_config = {
    extensions = {
      health_check = { endpoint = "127.0.0.1:13133" }
      sigv4auth    = { region = local.region, service = "aps" }
    }
    receivers = {
      prometheus = {
        config = {
          scrape_configs = [{
            job_name        = "tierd"
            scrape_interval = "30s"
            scrape_timeout  = "10s"
            static_configs = [{
              targets = ["127.0.0.1:${local.health_port}"]
              labels  = { frontends = var.name }
            }]
          }]
        }
      }
    }
    processors = {
      memory_limiter    = { check_interval = "1s", limit_mib = local.collector_memory - 64, spike_limit_mib = 48 }
      resourcedetection = { detectors = ["env", "ecs"], timeout = "5s", override = true }
      # All frontends are scraped at 127.0.0.1: what tells them apart is their task.
      resource = {
        attributes = [{ key = "service.instance.id", from_attribute = "aws.ecs.task.arn", action = "upsert" }]
      }
      "filter/scaling" = {
        metrics = { include = { match_type = "strict", metric_names = local.scaling_series } }
      }
      batch = { timeout = "10s" }
    }
    exporters = {
      prometheusremotewrite = {
        endpoint            = var.remote_write_url
        auth                = { authenticator = "sigv4auth" }
        add_metric_suffixes = false
        target_info         = { enabled = false }
        retry_on_failure    = { enabled = true, max_elapsed_time = "5m" }
      }
      awsemf = {
        region                  = local.region
        namespace               = local.metrics_namespace
        log_group_name          = aws_cloudwatch_log_group.metrics.name
        log_stream_name         = "{TaskId}"
        dimension_rollup_option = "NoDimensionRollup"
        metric_declarations = [{
          dimensions            = [["frontends"]]
          metric_name_selectors = [for s in local.scaling_series : "^${s}$"]
        }]
      }
    }
    service = {
      extensions = ["health_check", "sigv4auth"]
      telemetry  = { logs = { level = "warn" } }
      pipelines = {
        "metrics/prometheus" = {
          receivers  = ["prometheus"]
          processors = ["memory_limiter", "resourcedetection", "resource", "batch"]
          exporters  = ["prometheusremotewrite"]
        }
        "metrics/scaling" = {
          receivers  = ["prometheus"]
          processors = ["memory_limiter", "resourcedetection", "filter/scaling", "batch"]
          exporters  = ["awsemf"]
        }
      }
    }
  }
}
