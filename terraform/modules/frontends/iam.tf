locals {
  # Only the tasks of this account's clusters may take the roles.
  assume_role = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })

  password_secret_arn = join(":", slice(split(":", var.hot_tier_password_secret_arn), 0, 7))

  object_prefix = regex("^s3://[^/?]+/([^/?]+(?:/[^/?]+)*)", var.object_tier.url)[0]
  # The rights of tierd serve are those of deploy/s3/serve.json, which a test holds to the code.
  serve_statements = jsondecode(replace(replace(
    file("${path.module}/../../../deploy/s3/serve.json"),
    "arn:aws:s3:::BUCKET/PREFIX/default", "${var.object_tier.bucket_arn}/${local.object_prefix}/${var.keyspace}"),
    "arn:aws:s3:::BUCKET", var.object_tier.bucket_arn
  )).Statement


  ecr_statements = length(var.repository_arns) == 0 ? [] : [
    # This action knows no resources.
    { Sid = "RegistryLogin", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
    {
      Sid      = "Images"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = var.repository_arns
    },
  ]

  password_key_statements = var.hot_tier_password_kms_key_arn == null ? [] : [{
    Sid      = "PasswordKey"
    Effect   = "Allow"
    Action   = ["kms:Decrypt"]
    Resource = [var.hot_tier_password_kms_key_arn]
    Condition = {
      StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" }
    }
  }]
}

# What starts a task: it fetches the images and the password, and opens the logs.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-frontends-execution"
  description        = "Starts the frontends of ${var.name}"
  assume_role_policy = local.assume_role
  tags               = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.frontends.arn}:*"]
      },
      {
        Sid      = "Password"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [local.password_secret_arn]
      },
    ], local.password_key_statements, local.ecr_statements)
  })
}

# What a frontend and its side containers may.
resource "aws_iam_role" "task" {
  name               = "${var.name}-frontends"
  description        = "Frontends of ${var.name}"
  assume_role_policy = local.assume_role
  tags               = var.tags
}

resource "aws_iam_role_policy" "task" {
  name = "serve"
  role = aws_iam_role.task.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.serve_statements, [
      { Sid = "ArchiveKey", Effect = "Allow", Action = ["kms:Encrypt", "kms:Decrypt"], Resource = [var.object_tier.archive_kms_key_arn] },
      { Sid = "BucketKey", Effect = "Allow", Action = ["kms:GenerateDataKey", "kms:Decrypt"], Resource = [var.object_tier.kms_key_arn] },
      {
        Sid      = "Certificates"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [var.pki.ca_secret_arn, var.pki.server_secret_arn]
      },
      {
        Sid       = "CertificatesKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.pki.kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
      },
      { Sid = "Prometheus", Effect = "Allow", Action = ["aps:RemoteWrite"], Resource = [var.workspace_arn] },
      {
        Sid      = "ScalingMetrics"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.metrics.arn}:*"]
      },
    ])
  })
}
