# How a job is run, by whom, and with which rights. The provider is a mock: nothing is created.
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
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:111122223333:task-definition/shop-archive-verify:7" }
  }
  mock_resource "aws_scheduler_schedule_group" {
    defaults = { arn = "arn:aws:scheduler:eu-central-1:111122223333:schedule-group/shop-archive-verify" }
  }
  override_resource {
    target = aws_iam_role.execution
    values = { arn = "arn:aws:iam::111122223333:role/shop-archive-verify-execution" }
  }
  override_resource {
    target = aws_iam_role.task
    values = { arn = "arn:aws:iam::111122223333:role/shop-archive-verify" }
  }
  override_resource {
    target = aws_iam_role.scheduler
    values = { arn = "arn:aws:iam::111122223333:role/shop-archive-verify-scheduler" }
  }
}

variables {
  name                  = "shop"
  job                   = "archive-verify"
  description           = "Checks the archive"
  image                 = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/tierd:1.0.0"
  repository_arns       = ["arn:aws:ecr:eu-central-1:111122223333:repository/tierd"]
  command               = ["backup", "verify"]
  environment           = { TIERD_KEYSPACE = "default" }
  policy                = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  cluster_arn           = "arn:aws:ecs:eu-central-1:111122223333:cluster/shop"
  subnet_ids            = ["subnet-a", "subnet-b"]
  security_group_ids    = ["sg-1"]
  schedule              = "cron(15 3 * * ? *)"
  log_group             = { name = "/tierd/shop/jobs", arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/tierd/shop/jobs" }
  dead_letter_queue_arn = "arn:aws:sqs:eu-central-1:111122223333:shop-jobs"
}

run "task" {
  assert {
    condition     = output.container.user == "65532:65532" && output.container.readonlyRootFilesystem && !output.container.privileged && output.container.linuxParameters.capabilities.drop == ["ALL"]
    error_message = "a job has few rights in its container"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].command == ["backup", "verify"] && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].image == var.image
    error_message = "the command is run"
  }
  assert {
    condition     = { for e in output.container.environment : e.name => e.value } == { TIERD_KEYSPACE = "default", TIERD_DATA_DIR = "/data", TMPDIR = "/data" }
    error_message = "the environment, and a folder to write to"
  }
  assert {
    condition     = aws_ecs_task_definition.this.network_mode == "awsvpc" && aws_ecs_task_definition.this.requires_compatibilities == toset(["FARGATE"])
    error_message = "jobs run on Fargate"
  }
}

run "schedule" {
  assert {
    condition     = aws_scheduler_schedule.this.schedule_expression == "cron(15 3 * * ? *)" && aws_scheduler_schedule.this.schedule_expression_timezone == "UTC" && aws_scheduler_schedule.this.state == "ENABLED"
    error_message = "the job runs on time"
  }
  assert {
    condition     = aws_scheduler_schedule.this.target[0].retry_policy[0].maximum_retry_attempts == 10 && aws_scheduler_schedule.this.target[0].dead_letter_config[0].arn == var.dead_letter_queue_arn
    error_message = "what cannot be started is tried again, and told of"
  }
  assert {
    condition     = !aws_scheduler_schedule.this.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip && aws_scheduler_schedule.this.target[0].ecs_parameters[0].task_definition_arn == "arn:aws:ecs:eu-central-1:111122223333:task-definition/shop-archive-verify:7"
    error_message = "it runs in private, and just this version"
  }
}

run "another_command_is_another_schedule" {
  variables {
    command = ["backup", "verify", "--quick"]
  }
  assert {
    condition     = can(regex("^shop-archive-verify-[0-9a-f]{8}$", aws_scheduler_schedule.this.name)) && aws_scheduler_schedule.this.name != run.schedule.schedule_name
    error_message = "a schedule by rate fires when it is made: so a changed job does"
  }
}

run "rights" {
  variables {
    secrets             = { TIERD_HOT_TIER_PASSWORD = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/redis-AbCdEf:password::" }
    secret_kms_key_arns = ["arn:aws:kms:eu-central-1:111122223333:key/redis"]
  }
  assert {
    condition = jsonencode({ for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : s.Sid => s.Action }) == jsonencode({
      Logs          = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Secrets       = ["secretsmanager:GetSecretValue"]
      SecretKeys    = ["kms:Decrypt"]
      RegistryLogin = ["ecr:GetAuthorizationToken"]
      Image         = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    })
    error_message = "what starts a job may do these, and nothing else"
  }
  assert {
    condition     = { for s in jsondecode(aws_iam_role_policy.execution.policy).Statement : s.Sid => s.Resource }["Secrets"] == ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/redis-AbCdEf"]
    error_message = "the right is to the secret, not to a key of its JSON"
  }
  assert {
    condition     = output.container.secrets == [{ name = "TIERD_HOT_TIER_PASSWORD", valueFrom = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/redis-AbCdEf:password::" }]
    error_message = "secrets come as secrets"
  }
  assert {
    condition = jsonencode([for s in jsondecode(aws_iam_role_policy.scheduler.policy).Statement : [s.Action, s.Resource]]) == jsonencode([
      [["ecs:RunTask"], ["arn:aws:ecs:eu-central-1:111122223333:task-definition/shop-archive-verify:7"]],
      [["iam:PassRole"], ["arn:aws:iam::111122223333:role/shop-archive-verify-execution", "arn:aws:iam::111122223333:role/shop-archive-verify"]],
      [["sqs:SendMessage"], ["arn:aws:sqs:eu-central-1:111122223333:shop-jobs"]],
    ])
    error_message = "what runs a job may run just this one"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.scheduler.policy).Statement[0].Condition.ArnEquals["ecs:cluster"] == var.cluster_arn
    error_message = "and in this cluster alone"
  }
  assert {
    condition     = jsondecode(aws_iam_role.scheduler.assume_role_policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "111122223333" }, ArnEquals = { "aws:SourceArn" = "arn:aws:scheduler:eu-central-1:111122223333:schedule-group/shop-archive-verify" } }
    error_message = "schedules of others cannot take the role"
  }
  assert {
    condition     = aws_iam_role_policy.task.policy == var.policy
    error_message = "the job may what it is given"
  }
}

run "refuses" {
  command = plan
  variables {
    image              = "tierd:latest"
    command            = []
    environment        = { REDIS_PASSWORD = "secret" }
    policy             = "all"
    schedule           = "daily"
    memory             = 700
    security_group_ids = []
  }
  expect_failures = [var.image, var.command, var.environment, var.policy, var.schedule, var.memory, var.security_group_ids]
}
