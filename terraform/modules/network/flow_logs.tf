# Who talked to whom, and who was refused: kept encrypted in CloudWatch Logs.

locals {
  flow_log_name = "/${var.name}/network/flows"
  flow_log_arn  = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.flow_log_name}"
}

resource "aws_kms_key" "logs" {
  description             = "${var.name}: flow logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "IAMOfThisAccountDecides"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*" # in the policy of a key: this key
      },
      {
        Sid       = "CloudWatchLogsForThisGroup"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = { ArnEquals = { "kms:EncryptionContext:aws:logs:arn" = local.flow_log_arn } }
      },
    ]
  })

  tags = var.tags
}

resource "aws_cloudwatch_log_group" "flows" {
  name              = local.flow_log_name
  retention_in_days = var.flow_log_retention_days
  kms_key_id        = aws_kms_key.logs.arn

  tags = var.tags
}

resource "aws_iam_role" "flows" {
  name        = "${var.name}-flow-logs"
  description = "Lets the flow logs of ${var.name} be written"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "vpc-flow-logs.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ec2:${local.region}:${local.account}:vpc-flow-log/*" }
      }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "flows" {
  name = "write"
  role = aws_iam_role.flows.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Write"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = [local.flow_log_arn, "${local.flow_log_arn}:log-stream:*"]
      },
      {
        # Lists groups by their names, so it is about all of them.
        Sid      = "Find"
        Effect   = "Allow"
        Action   = ["logs:DescribeLogGroups"]
        Resource = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:*"]
      },
    ]
  })
}

resource "aws_flow_log" "this" {
  vpc_id                   = aws_vpc.this.id
  traffic_type             = "ALL"
  log_destination_type     = "cloud-watch-logs"
  log_destination          = aws_cloudwatch_log_group.flows.arn
  iam_role_arn             = aws_iam_role.flows.arn
  max_aggregation_interval = 600

  tags = merge(var.tags, { Name = var.name })
}
