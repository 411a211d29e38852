# What a frontend is run as, and what it may do. The provider is a mock: nothing is created.
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
  mock_resource "aws_lb" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/net/shop-clients/0123456789abcdef"
      arn_suffix = "net/shop-clients/0123456789abcdef"
      dns_name   = "shop-clients-0123456789abcdef.elb.eu-central-1.amazonaws.com"
      zone_id    = "Z3F0SRJ5LGBH90"
    }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/shop-clients/0123456789abcdef" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/logs" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:mocked" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mocked" }
  }
}

variables {
  name                         = "shop"
  image                        = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/tierd:1.0.0"
  repository_arns              = ["arn:aws:ecr:eu-central-1:111122223333:repository/tierd"]
  vpc_id                       = "vpc-1"
  vpc_cidr                     = "10.0.0.0/16"
  subnet_ids                   = ["subnet-a", "subnet-b", "subnet-c"]
  s3_prefix_list_id            = "pl-1"
  client_cidrs                 = ["10.0.0.0/16", "10.1.0.0/16"]
  hot_tier_url                 = "rediss://tierd@shop-0.memorydb.example:6379"
  hot_tier_password_secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/redis-AbCdEf"
  replica_acks                 = 0
  remote_write_url             = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
  workspace_arn                = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
  object_tier = {
    url                 = "s3://shop-archive/keyspaces?region=eu-central-1&sse=aws:kms:arn:aws:kms:eu-central-1:111122223333:key/bucket"
    bucket_arn          = "arn:aws:s3:::shop-archive"
    kms_key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/bucket"
    archive_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/archive"
  }
  pki = {
    store             = "secretsmanager://shop/pki?region=eu-central-1"
    ca_secret_arn     = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/ca-AbCdEf"
    server_secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/server-AbCdEf"
    kms_key_arn       = "arn:aws:kms:eu-central-1:111122223333:key/pki"
  }
}

run "task" {
  assert {
    condition     = aws_ecs_task_definition.frontend.network_mode == "awsvpc" && aws_ecs_task_definition.frontend.requires_compatibilities == toset(["FARGATE"])
    error_message = "frontends run on Fargate"
  }
  assert {
    condition     = [for c in jsondecode(aws_ecs_task_definition.frontend.container_definitions) : c.name] == ["frontend", "certificates", "collector"]
    error_message = "three containers"
  }
  assert {
    condition     = alltrue([for c in jsondecode(aws_ecs_task_definition.frontend.container_definitions) : c.readonlyRootFilesystem && !c.privileged && c.linuxParameters.capabilities.drop == ["ALL"] && c.linuxParameters.capabilities.add == []])
    error_message = "every container has a read-only root, no privilege and no capability"
  }
  assert {
    condition     = alltrue([for c in slice(jsondecode(aws_ecs_task_definition.frontend.container_definitions), 0, 2) : c.user == "65532:65532" && c.image == var.image])
    error_message = "tierd runs as 65532"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].secrets == [{ name = "TIERD_HOT_TIER_PASSWORD", valueFrom = var.hot_tier_password_secret_arn }]
    error_message = "the password comes as a secret"
  }
  assert {
    condition     = length([for e in jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].environment : e.name if strcontains(lower(e.name), "password")]) == 0 && !strcontains(aws_ecs_task_definition.frontend.container_definitions, "BEGIN")
    error_message = "no password and no key is in the plain environment"
  }
  assert {
    condition     = [for c in jsondecode(aws_ecs_task_definition.frontend.container_definitions) : c.essential] == [true, false, false]
    error_message = "a frontend outlives its side containers, which are started again"
  }
  assert {
    condition     = alltrue([for c in slice(jsondecode(aws_ecs_task_definition.frontend.container_definitions), 1, 3) : c.restartPolicy.enabled])
    error_message = "side containers are started again"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].dependsOn == [{ containerName = "certificates", condition = "HEALTHY" }]
    error_message = "a frontend starts when its certificates are there"
  }
  assert {
    condition     = sum([for c in jsondecode(aws_ecs_task_definition.frontend.container_definitions) : c.memory]) == var.memory
    error_message = "the containers share the task's memory"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].healthCheck.command == ["CMD", "/tierd", "health"]
    error_message = "the container is asked for its health, which is /readyz"
  }
  assert {
    condition     = [for m in jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].mountPoints : m.containerPath if !m.readOnly] == ["/data"]
    error_message = "a frontend writes to /data alone"
  }
}

run "settings" {
  assert {
    condition = { for e in jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].environment : e.name => e.value } == {
      TIERD_NAME                    = "shop"
      TIERD_KEYSPACE                = "default"
      TIERD_DATA_DIR                = "/data"
      TIERD_HOT_TIER                = "rediss://tierd@shop-0.memorydb.example:6379"
      TIERD_REPLICA_ACKS            = "0"
      TIERD_OBJECT_TIER             = var.object_tier.url
      TIERD_ARCHIVE_KMS_KEY         = "arn:aws:kms:eu-central-1:111122223333:key/archive"
      TIERD_LISTEN_CLIENT_URLS      = "https://0.0.0.0:2379"
      TIERD_ADVERTISE_CLIENT_URLS   = "https://shop-clients-0123456789abcdef.elb.eu-central-1.amazonaws.com:2379"
      TIERD_LISTEN_METRICS_URLS     = "http://0.0.0.0:2381"
      TIERD_INSECURE_PLAINTEXT      = "true"
      TIERD_CERT_FILE               = "/run/tierd/server.crt"
      TIERD_KEY_FILE                = "/run/tierd/server.key"
      TIERD_TRUSTED_CA_FILE         = "/run/tierd/ca.crt"
      TIERD_CLIENT_CERT_AUTH        = "true"
      TIERD_GRPC_KEEPALIVE_INTERVAL = "87s"
      TIERD_HEALTH_ENDPOINT         = "http://127.0.0.1:2381?exclude=data_corruption"
      TMPDIR                        = "/data"
    }
    error_message = "the settings of a frontend"
  }
  assert {
    condition     = output.endpoint == "https://shop-clients-0123456789abcdef.elb.eu-central-1.amazonaws.com:2379"
    error_message = "clients are told the load balancer's name"
  }
}

run "settings_of_ones_own" {
  variables {
    preserve_client_ip = false
    endpoint_name      = "etcd.shop.internal"
    dns_zone_id        = "Z1"
    settings           = { TIERD_QUOTA_BACKEND_BYTES = "8589934592", TIERD_LOG_LEVEL = "warn" }
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].environment, { name = "TIERD_QUOTA_BACKEND_BYTES", value = "8589934592" })
    error_message = "settings are taken"
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].environment, { name = "TIERD_MAX_CONNECTIONS_PER_ADDRESS", value = "0" })
    error_message = "behind the addresses of the load balancer nobody is limited by address"
  }
  assert {
    condition     = output.endpoint == "https://etcd.shop.internal:2379" && aws_route53_record.endpoint[0].name == "etcd.shop.internal"
    error_message = "the name of one's own is made and told to clients"
  }
}

run "stopping" {
  assert {
    # cmd/tierd/serve.go: 15 seconds for clients, 10 for each part that closes; Fargate kills after 120.
    condition     = jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].stopTimeout >= 15 + 3 * 10 && jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].stopTimeout <= 120
    error_message = "a frontend has the time to drain"
  }
  assert {
    condition     = tonumber(aws_lb_target_group.clients.deregistration_delay) >= jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].stopTimeout
    error_message = "new connections go elsewhere before a frontend stops"
  }
  assert {
    condition     = !aws_lb_target_group.clients.connection_termination && !aws_lb_target_group.clients.target_health_state[0].enable_unhealthy_connection_termination
    error_message = "connections are ended by tierd, not cut by the load balancer"
  }
  assert {
    condition     = tonumber(trimsuffix({ for e in jsondecode(aws_ecs_task_definition.frontend.container_definitions)[0].environment : e.name => e.value }["TIERD_GRPC_KEEPALIVE_INTERVAL"], "s")) * 2 < aws_lb_listener.clients.tcp_idle_timeout_seconds
    error_message = "idle connections are pinged before the load balancer forgets them"
  }
}

run "service" {
  assert {
    condition     = aws_ecs_service.frontends.deployment_circuit_breaker[0].enable && aws_ecs_service.frontends.deployment_circuit_breaker[0].rollback
    error_message = "a deployment that fails is rolled back"
  }
  assert {
    condition     = aws_ecs_service.frontends.deployment_minimum_healthy_percent == 100 && aws_ecs_service.frontends.deployment_maximum_percent == 200
    error_message = "a frontend goes only when another is healthy"
  }
  assert {
    condition     = aws_ecs_service.frontends.availability_zone_rebalancing == "ENABLED" && length(aws_ecs_service.frontends.network_configuration[0].subnets) == 3
    error_message = "frontends are in all zones"
  }
  assert {
    condition     = !aws_ecs_service.frontends.network_configuration[0].assign_public_ip && !aws_ecs_service.frontends.enable_execute_command
    error_message = "no public address, no shell"
  }
  assert {
    condition     = aws_ecs_service.frontends.launch_type == "FARGATE" && aws_ecs_service.frontends.desired_count == 2
    error_message = "two frontends on Fargate"
  }
}

run "load_balancer" {
  assert {
    condition     = aws_lb.this.load_balancer_type == "network" && aws_lb.this.internal && aws_lb.this.enable_deletion_protection && aws_lb.this.enable_cross_zone_load_balancing
    error_message = "an internal NLB that is not deleted by accident"
  }
  assert {
    condition     = aws_lb_listener.clients.protocol == "TCP" && aws_lb_listener.clients.port == 2379 && aws_lb_target_group.clients.protocol == "TCP" && aws_lb_target_group.clients.target_type == "ip"
    error_message = "TLS is passed through"
  }
  assert {
    condition     = aws_lb_target_group.clients.health_check[0].protocol == "HTTP" && aws_lb_target_group.clients.health_check[0].path == "/readyz?exclude=data_corruption" && aws_lb_target_group.clients.health_check[0].port == "2381"
    error_message = "readiness decides who gets clients, and corruption replaces nobody who may hold what is missing"
  }
  assert {
    condition     = aws_lb_target_group.clients.health_check[0].interval * aws_lb_target_group.clients.health_check[0].unhealthy_threshold >= 60
    error_message = "a failover of a shard replaces no frontend"
  }
  assert {
    condition     = toset([for r in aws_vpc_security_group_ingress_rule.clients : "${r.cidr_ipv4} ${r.from_port}-${r.to_port}"]) == toset(["10.0.0.0/16 2379-2379", "10.1.0.0/16 2379-2379"])
    error_message = "only the clients that are named reach the load balancer"
  }
  assert {
    condition     = alltrue([for r in aws_vpc_security_group_ingress_rule.frontends : r.referenced_security_group_id == aws_security_group.load_balancer.id])
    error_message = "only the load balancer reaches frontends"
  }
  assert {
    condition     = alltrue([for r in aws_vpc_security_group_egress_rule.vpc : r.cidr_ipv4 == "10.0.0.0/16"]) && aws_vpc_security_group_egress_rule.s3.prefix_list_id == "pl-1"
    error_message = "frontends reach the VPC and S3, not the internet"
  }
}

run "autoscaling" {
  variables {
    min_count   = 3
    max_count   = 12
    autoscaling = { cpu_percent = 50, requests_per_second = 3000, open_streams = 4000 }
  }
  assert {
    condition     = aws_appautoscaling_target.frontends.min_capacity == 3 && aws_appautoscaling_target.frontends.max_capacity == 12
    error_message = "the bounds"
  }
  assert {
    condition     = aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ECSServiceAverageCPUUtilization" && aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].target_value == 50
    error_message = "by processor"
  }
  assert {
    condition     = aws_appautoscaling_policy.requests.target_tracking_scaling_policy_configuration[0].target_value == 3000 && [for m in aws_appautoscaling_policy.requests.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics : m.expression if m.return_data] == ["calls / tasks / 60"]
    error_message = "by calls per second and frontend"
  }
  assert {
    condition     = aws_appautoscaling_policy.streams.target_tracking_scaling_policy_configuration[0].target_value == 4000 && aws_appautoscaling_policy.streams.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metric_name == "tierd_open_streams" && aws_appautoscaling_policy.streams.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].statistic == "Average"
    error_message = "by open streams"
  }
  assert {
    condition     = yamldecode(jsondecode(aws_ecs_task_definition.frontend.container_definitions)[2].environment[0].value).exporters.awsemf.metric_declarations[0] == { dimensions = [["frontends"]], metric_name_selectors = ["^grpc_server_started_total$", "^tierd_open_streams$"] }
    error_message = "the collector sends the series by which frontends are added"
  }
  assert {
    condition     = [for s in aws_ecs_cluster.this.setting : s.value if s.name == "containerInsights"] == ["enabled"]
    error_message = "the number of tasks is a metric of Container Insights"
  }
}

run "logs" {
  assert {
    condition     = aws_cloudwatch_log_group.frontends.kms_key_id == "arn:aws:kms:eu-central-1:111122223333:key/logs" && aws_cloudwatch_log_group.metrics.kms_key_id == "arn:aws:kms:eu-central-1:111122223333:key/logs"
    error_message = "logs are encrypted with a key of their own"
  }
  assert {
    condition     = aws_cloudwatch_log_group.frontends.retention_in_days == 90 && aws_cloudwatch_log_group.metrics.retention_in_days == 7
    error_message = "logs are kept for a while"
  }
  assert {
    condition     = aws_kms_key.logs[0].enable_key_rotation
    error_message = "the key is rotated"
  }
}

run "rights" {
  assert {
    condition = jsonencode({ for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : s.Sid => sort(flatten([s.Action])) }) == jsonencode({
      Logs          = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Password      = ["secretsmanager:GetSecretValue"]
      RegistryLogin = ["ecr:GetAuthorizationToken"]
      Images        = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    })
    error_message = "what starts a task may do these, and nothing else"
  }
  assert {
    condition = jsonencode({ for s in jsondecode(aws_iam_role_policy.task.policy).Statement : s.Sid => sort(flatten([s.Action])) }) == jsonencode({
      List                = ["s3:ListBucket"]
      Read                = ["s3:GetObject"]
      Write               = ["s3:AbortMultipartUpload", "s3:PutObject"]
      MakeKeys            = ["s3:PutObject"]
      Probe               = ["s3:DeleteObject", "s3:PutObject"]
      RemoveWhatWasMerged = ["s3:DeleteObject"]
      ArchiveKey          = ["kms:Decrypt", "kms:Encrypt"]
      BucketKey           = ["kms:Decrypt", "kms:GenerateDataKey"]
      Certificates        = ["secretsmanager:GetSecretValue"]
      CertificatesKey     = ["kms:Decrypt"]
      Prometheus          = ["aps:RemoteWrite"]
      ScalingMetrics      = ["logs:CreateLogStream", "logs:PutLogEvents"]
    })
    error_message = "a frontend may do these, and nothing else"
  }
  assert {
    condition     = toset(flatten([for s in jsondecode(aws_iam_role_policy.task.policy).Statement : s.Resource if startswith(flatten([s.Action])[0], "secretsmanager:")])) == toset([var.pki.ca_secret_arn, var.pki.server_secret_arn])
    error_message = "a frontend reads its own certificate and the authorities, and no key of an authority"
  }
  assert {
    condition     = alltrue([for r in flatten([for s in jsondecode(aws_iam_role_policy.task.policy).Statement : s.Resource if startswith(flatten([s.Action])[0], "s3:")]) : r == "arn:aws:s3:::shop-archive" || startswith(r, "arn:aws:s3:::shop-archive/keyspaces/default/")])
    error_message = "a frontend reaches its keyspace alone"
  }
  assert {
    condition     = alltrue([for r in flatten([for s in concat(jsondecode(aws_iam_role_policy.task.policy).Statement, jsondecode(aws_iam_role_policy.execution.policy).Statement) : s.Resource if s.Sid != "RegistryLogin"]) : r != "*"])
    error_message = "resources are named"
  }
  assert {
    condition     = jsondecode(aws_iam_role.task.assume_role_policy).Statement[0].Principal.Service == "ecs-tasks.amazonaws.com" && jsondecode(aws_iam_role.task.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "111122223333"
    error_message = "only tasks of this account take the role"
  }
}

run "password_in_a_key_of_json" {
  variables {
    hot_tier_password_secret_arn  = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/redis-AbCdEf:password::"
    hot_tier_password_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/redis"
  }
  assert {
    condition     = { for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : s.Sid => s.Resource }["Password"] == ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/redis-AbCdEf"]
    error_message = "the right is to the secret"
  }
  assert {
    condition     = { for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : s.Sid => s.Action }["PasswordKey"] == ["kms:Decrypt"]
    error_message = "its key may be used"
  }
}

run "refuses" {
  command = plan
  variables {
    image         = "tierd:latest"
    min_count     = 1
    memory        = 1000
    drain_seconds = 30
    client_cidrs  = ["0.0.0.0/0"]
    hot_tier_url  = "rediss://tierd:secret@shop-0:6379"
    replica_acks  = 9
    settings      = { TIERD_HOT_TIER_PASSWORD = "secret" }
    dns_zone_id   = "Z1"
    subnet_ids    = ["subnet-a"]
  }
  expect_failures = [
    var.image, var.min_count, var.memory, var.drain_seconds, var.client_cidrs,
    var.hot_tier_url, var.replica_acks, var.settings, var.dns_zone_id, var.subnet_ids,
  ]
}

run "refuses_fewer_than_the_least" {
  command = plan
  variables {
    min_count = 4
    max_count = 3
  }
  expect_failures = [var.max_count]
}
