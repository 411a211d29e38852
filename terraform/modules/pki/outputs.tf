output "store" {
  description = "Where certificates are, as tierd pki takes it."
  value       = local.store
}

output "ca_secret_arn" {
  description = "Secret with the authorities that everybody trusts."
  value       = aws_secretsmanager_secret.this["ca"].arn
}

output "server_secret_arn" {
  description = "Secret with the frontends' certificate and key."
  value       = aws_secretsmanager_secret.this["server"].arn
}

output "client_secret_arns" {
  description = "Secrets with the clients' certificates and keys, by client."
  value       = { for name in keys(var.clients) : name => aws_secretsmanager_secret.this["client-${name}"].arn }
}

output "ca_certificate" {
  description = "The authority's certificate in PEM with mode acm-pca; else null: the job makes it, and it is in the secret."
  value       = one(aws_acmpca_certificate.root[*].certificate)
}

output "kms_key_arn" {
  description = "Key that the secrets are encrypted with."
  value       = aws_kms_key.this.arn
}

output "read_policy_json" {
  description = "IAM policies, by client, for whoever runs that client: to read the authorities and its own certificate."
  value = { for name in keys(var.clients) : name => jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Certificates"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [aws_secretsmanager_secret.this["ca"].arn, aws_secretsmanager_secret.this["client-${name}"].arn]
      },
      {
        Sid       = "CertificatesKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [aws_kms_key.this.arn]
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
      },
    ]
  }) }
}

output "schedule_arn" {
  description = "The schedule of the job that renews certificates."
  value       = module.renew.schedule_arn
}

output "task_definition_arn" {
  description = "The job, to run it by hand."
  value       = module.renew.task_definition_arn
}

output "dead_letter_queue_name" {
  description = "Queue for runs that could not be started."
  value       = aws_sqs_queue.dead_letters.name
}

output "log_group_name" {
  description = "Where the job's log is."
  value       = aws_cloudwatch_log_group.this.name
}

output "command" {
  description = "What the job has tierd do, to run it by hand: with --force to renew at once, with --rotate-ca for another authority."
  value       = local.command
}
