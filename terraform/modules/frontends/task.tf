locals {
  certificates_memory = 128
  collector_memory    = 256

  certificates_dir = "/run/tierd"

  settings = merge({
    TIERD_NAME                  = var.name
    TIERD_KEYSPACE              = var.keyspace
    TIERD_DATA_DIR              = "/data"
    TIERD_HOT_TIER              = var.hot_tier_url
    TIERD_REPLICA_ACKS          = tostring(var.replica_acks)
    TIERD_OBJECT_TIER           = var.object_tier.url
    TIERD_ARCHIVE_KMS_KEY       = var.object_tier.archive_kms_key_arn
    TIERD_LISTEN_CLIENT_URLS    = "https://0.0.0.0:${local.client_port}"
    TIERD_ADVERTISE_CLIENT_URLS = local.endpoint
    TIERD_LISTEN_METRICS_URLS   = "http://0.0.0.0:${local.health_port}"
    # For the address before alone: that of clients is https.
    TIERD_INSECURE_PLAINTEXT      = "true"
    TIERD_CERT_FILE               = "${local.certificates_dir}/server.crt"
    TIERD_KEY_FILE                = "${local.certificates_dir}/server.key"
    TIERD_TRUSTED_CA_FILE         = "${local.certificates_dir}/ca.crt"
    TIERD_CLIENT_CERT_AUTH        = "true"
    TIERD_GRPC_KEEPALIVE_INTERVAL = "${floor(var.idle_seconds / 4)}s"
    TIERD_HEALTH_ENDPOINT         = "http://127.0.0.1:${local.health_port}?${local.health_query}"
    # The root cannot be written.
    TMPDIR = "/data"
    }, var.preserve_client_ip ? {} : {
    # All clients come from the few addresses of the load balancer.
    TIERD_MAX_CONNECTIONS_PER_ADDRESS = "0"
  }, var.settings)

  locked_down = {
    privileged             = false
    readonlyRootFilesystem = true
    user                   = "65532:65532"
    linuxParameters = {
      capabilities       = { add = [], drop = ["ALL"] }
      initProcessEnabled = false
    }
  }

  fetch = ["pki", "fetch", "--store", var.pki.store, "--to", local.certificates_dir, "--only", "server,ca"]

  log_options = {
    awslogs-group         = aws_cloudwatch_log_group.frontends.name
    awslogs-region        = local.region
    awslogs-stream-prefix = "frontends"
    # A log that cannot be sent must not stop who writes it.
    mode            = "non-blocking"
    max-buffer-size = "25m"
  }

  # dependsOn and stopTimeout: a task begins once its certificates are there, and ends the other way round.
  frontend = merge(local.locked_down, {
    name        = "frontend"
    image       = var.image
    command     = ["serve"]
    essential   = true
    memory      = var.memory - local.certificates_memory - local.collector_memory
    stopTimeout = var.drain_seconds
    environment = [for k, v in local.settings : { name = k, value = v }]
    secrets     = [{ name = "TIERD_HOT_TIER_PASSWORD", valueFrom = var.hot_tier_password_secret_arn }]
    dependsOn   = [{ containerName = "certificates", condition = "HEALTHY" }]
    portMappings = [
      { containerPort = local.client_port, hostPort = local.client_port, protocol = "tcp" },
      { containerPort = local.health_port, hostPort = local.health_port, protocol = "tcp" },
    ]
    mountPoints = [
      { sourceVolume = "data", containerPath = "/data", readOnly = false },
      { sourceVolume = "certificates", containerPath = local.certificates_dir, readOnly = true },
    ]
    ulimits = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]
    healthCheck = {
      command     = ["CMD", "/tierd", "health"]
      interval    = 15
      timeout     = 7
      retries     = 10
      startPeriod = 120
    }
    logConfiguration = { logDriver = "awslogs", options = local.log_options }
  })

  # Without it, a frontend goes on with the certificates it has: it is not essential, and started again.
  certificates = merge(local.locked_down, {
    name          = "certificates"
    image         = var.image
    command       = concat(local.fetch, ["--wait", "10m", "--watch", "1h"])
    essential     = false
    memory        = local.certificates_memory
    restartPolicy = { enabled = true, restartAttemptPeriod = 60 }
    mountPoints   = [{ sourceVolume = "certificates", containerPath = local.certificates_dir, readOnly = false }]
    healthCheck = {
      command     = concat(["CMD", "/tierd"], local.fetch, ["--check"])
      interval    = 5
      timeout     = 5
      retries     = 10
      startPeriod = 300
    }
    logConfiguration = { logDriver = "awslogs", options = local.log_options }
  })

  collector = {
    name                   = "collector"
    image                  = var.collector_image
    essential              = false
    memory                 = local.collector_memory
    privileged             = false
    readonlyRootFilesystem = true
    restartPolicy          = { enabled = true, restartAttemptPeriod = 60 }
    environment            = [{ name = "AOT_CONFIG_CONTENT", value = yamlencode(local.collector_config) }]
    linuxParameters = {
      capabilities       = { add = [], drop = ["ALL"] }
      initProcessEnabled = false
    }
    healthCheck = {
      command     = ["CMD", "/healthcheck"]
      interval    = 15
      timeout     = 5
      retries     = 5
      startPeriod = 30
    }
    logConfiguration = { logDriver = "awslogs", options = local.log_options }
  }
}

resource "aws_ecs_task_definition" "frontend" {
  family                   = "${var.name}-frontend"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.cpu)
  memory                   = tostring(var.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.frontend, local.certificates, local.collector])
  skip_destroy             = false
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  # Both take owner and mode from the VOLUME of the image at the same path.
  volume {
    name = "data"
  }

  volume {
    name = "certificates"
  }
}
