locals {
  authority_arn = one(aws_acmpca_certificate_authority_certificate.root[*].certificate_authority_arn)

  command = concat(
    [
      "pki", "renew", "--store", local.store,
      "--server-name", join(",", var.server_names),
      "--validity", "${var.validity_hours}h",
    ],
    length(var.clients) == 0 ? [] : ["--client", join(",", [for name, cn in var.clients : "${name}=${cn}"])],
    local.self_managed ? ["--ca-validity", "${var.authority_validity_years * 8760}h"] : ["--acm-pca", local.authority_arn],
  )

  # As deploy/pki/renew-private-ca.json has it: no authority can be signed, and nothing that signs others.
  templates = [for t in ["EndEntityCertificate", "EndEntityClientAuthCertificate"] : "arn:${local.partition}:acm-pca:::template/${t}/V1"]
  authority_statements = [for s in [
    { Sid = "Authority", Effect = "Allow", Action = ["acm-pca:GetCertificate", "acm-pca:GetCertificateAuthorityCertificate"], Resource = [local.authority_arn] },
    {
      Sid       = "Sign"
      Effect    = "Allow"
      Action    = ["acm-pca:IssueCertificate"]
      Resource  = [local.authority_arn]
      Condition = { StringEquals = { "acm-pca:TemplateArn" = local.templates } }
    },
  ] : s if !local.self_managed]
}

module "renew" {
  source = "../job"

  name               = var.name
  tags               = var.tags
  job                = "pki-renew"
  description        = "Makes and renews the certificates of ${var.name}"
  image              = var.image
  repository_arns    = var.repository_arns
  cpu_architecture   = var.cpu_architecture
  command            = local.command
  cluster_arn        = var.cluster_arn
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids
  schedule           = var.schedule
  log_group          = { name = aws_cloudwatch_log_group.this.name, arn = aws_cloudwatch_log_group.this.arn }

  dead_letter_queue_arn = aws_sqs_queue.dead_letters.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Certificates"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
        Resource = [for name in sort(keys(local.secrets)) : aws_secretsmanager_secret.this[name].arn]
      },
      {
        Sid       = "CertificatesKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [aws_kms_key.this.arn]
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
      },
    ], local.authority_statements)
  })
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/tierd/${var.name}/pki"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-pki"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}
