data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  self_managed = var.mode == "self-managed"
  prefix       = coalesce(var.store_prefix, "${var.name}/pki")
  store        = "secretsmanager://${local.prefix}?region=${local.region}"

  # What is in each secret, for people. The values are the job's: none is in Terraform's state.
  secrets = merge(
    {
      "ca"     = "Authorities that everybody trusts (certificates alone)"
      "server" = "Certificate and key of the frontends"
    },
    local.self_managed ? { "ca-key" = "Authority that signs: certificate and key" } : {},
    { for name, cn in var.clients : "client-${name}" => "Certificate and key of the client ${name} (${cn})" },
  )
}

resource "aws_kms_key" "this" {
  description             = "Certificates' keys of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Account"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-pki"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name                    = "${local.prefix}/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.recovery_window_days
  tags                    = var.tags

  lifecycle {
    # A change of it is an UpdateSecret, which the policy below leaves to the job.
    ignore_changes = [description]
  }
}

# Whoever has the authority's key is anybody: nobody reads or writes it but the job, whatever other
# policies allow.
resource "aws_secretsmanager_secret_policy" "authority" {
  count = local.self_managed ? 1 : 0

  secret_arn          = aws_secretsmanager_secret.this["ca-key"].arn
  block_public_policy = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheJobAlone"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecret"]
      Resource  = "*"
      Condition = { StringNotEquals = { "aws:PrincipalArn" = module.renew.task_role_arn } }
    }]
  })
}
