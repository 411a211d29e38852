locals {
  log_kms_key_arn = coalesce(var.kms_key_arn, one(aws_kms_key.logs[*].arn))
}

resource "aws_kms_key" "logs" {
  count = var.kms_key_arn == null ? 1 : 0

  description             = "Logs of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/tierd/${var.name}/*" } }
      },
    ]
  })
}

resource "aws_kms_alias" "logs" {
  count = var.kms_key_arn == null ? 1 : 0

  name          = "alias/${var.name}-logs"
  target_key_id = aws_kms_key.logs[0].key_id
}

resource "aws_cloudwatch_log_group" "frontends" {
  name              = "/tierd/${var.name}/frontends"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.log_kms_key_arn
  tags              = var.tags
}

# What the collector writes here becomes the metrics that frontends are added by.
resource "aws_cloudwatch_log_group" "metrics" {
  name              = "/tierd/${var.name}/metrics"
  retention_in_days = min(var.log_retention_days, 7)
  kms_key_id        = local.log_kms_key_arn
  tags              = var.tags
}
