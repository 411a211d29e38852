# Where keys are, and who may have them. The provider is a mock: nothing is created.
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
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/pki" }
  }
  override_resource {
    target = aws_secretsmanager_secret.this["ca"]
    values = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/ca-AbCdEf" }
  }
  override_resource {
    target = aws_secretsmanager_secret.this["ca-key"]
    values = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/ca-key-AbCdEf" }
  }
  override_resource {
    target = aws_secretsmanager_secret.this["server"]
    values = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/server-AbCdEf" }
  }
  override_resource {
    target = aws_secretsmanager_secret.this["client-kube-apiserver"]
    values = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/client-kube-apiserver-AbCdEf" }
  }
  override_resource {
    target = module.renew.aws_iam_role.task
    values = { arn = "arn:aws:iam::111122223333:role/shop-pki-renew" }
  }
  mock_resource "aws_acmpca_certificate_authority" {
    defaults = { arn = "arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/ca" }
  }
}

variables {
  name               = "shop"
  server_names       = ["shop-clients-0123.elb.eu-central-1.amazonaws.com", "etcd.shop.internal"]
  image              = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/tierd:1.0.0"
  cluster_arn        = "arn:aws:ecs:eu-central-1:111122223333:cluster/shop"
  subnet_ids         = ["subnet-a", "subnet-b"]
  security_group_ids = ["sg-1"]
  log_kms_key_arn    = "arn:aws:kms:eu-central-1:111122223333:key/logs"
}

run "secrets" {
  assert {
    condition     = toset([for s in aws_secretsmanager_secret.this : s.name]) == toset(["shop/pki/ca", "shop/pki/ca-key", "shop/pki/server", "shop/pki/client-kube-apiserver"])
    error_message = "the secrets that tierd pki knows"
  }
  assert {
    condition     = alltrue([for s in aws_secretsmanager_secret.this : s.kms_key_id == "arn:aws:kms:eu-central-1:111122223333:key/pki" && s.recovery_window_in_days == 30])
    error_message = "secrets are encrypted with a key of their own, and can be brought back"
  }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "the key is rotated"
  }
  assert {
    condition     = output.store == "secretsmanager://shop/pki?region=eu-central-1"
    error_message = "the store as tierd takes it"
  }
}

run "the_authoritys_key" {
  assert {
    condition     = jsondecode(aws_secretsmanager_secret_policy.authority[0].policy).Statement[0].Effect == "Deny" && jsondecode(aws_secretsmanager_secret_policy.authority[0].policy).Statement[0].Condition.StringNotEquals["aws:PrincipalArn"] == "arn:aws:iam::111122223333:role/shop-pki-renew"
    error_message = "nobody but the job has the authority's key"
  }
  assert {
    condition     = contains(jsondecode(aws_secretsmanager_secret_policy.authority[0].policy).Statement[0].Action, "secretsmanager:GetSecretValue") && aws_secretsmanager_secret_policy.authority[0].secret_arn == "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/ca-key-AbCdEf"
    error_message = "to read it is denied"
  }
  assert {
    condition     = !strcontains(jsonencode(output.read_policy_json), "ca-key") && !strcontains(jsonencode(output.read_policy_json), "pki/server")
    error_message = "clients read neither the authority's key nor the frontends'"
  }
}

run "job" {
  assert {
    condition = jsonencode(module.renew.container.command) == jsonencode([
      "pki", "renew", "--store", "secretsmanager://shop/pki?region=eu-central-1",
      "--server-name", "shop-clients-0123.elb.eu-central-1.amazonaws.com,etcd.shop.internal", "--validity", "2160h",
      "--client", "kube-apiserver=kube-apiserver", "--ca-validity", "87600h",
    ])
    error_message = "what the job is told"
  }
  assert {
    condition     = module.renew.schedule_expression == "rate(1 day)"
    error_message = "certificates are looked at each day"
  }
  assert {
    condition = jsonencode({ for s in jsondecode(module.renew.policy).Statement : s.Sid => s.Action }) == jsonencode({
      Certificates    = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
      CertificatesKey = ["kms:Decrypt", "kms:GenerateDataKey"]
    })
    error_message = "the job may do these, and nothing else"
  }
  assert {
    condition     = length(jsondecode(module.renew.policy).Statement[0].Resource) == 4 && alltrue([for r in jsondecode(module.renew.policy).Statement[0].Resource : startswith(r, "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/")])
    error_message = "to these secrets alone"
  }
  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.log_kms_key_arn && aws_sqs_queue.dead_letters.sqs_managed_sse_enabled
    error_message = "log and queue are encrypted"
  }
}

run "clients_of_their_own" {
  override_resource {
    target = aws_secretsmanager_secret.this["client-backup"]
    values = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/client-backup-AbCdEf" }
  }
  variables {
    clients = { backup = "backup user" }
  }
  assert {
    condition     = output.client_secret_arns == { backup = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/client-backup-AbCdEf" }
    error_message = "each client has a secret"
  }
  assert {
    condition = jsonencode([for s in jsondecode(output.read_policy_json["backup"]).Statement : [s.Action, s.Resource]]) == jsonencode([
      [["secretsmanager:GetSecretValue"], ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/ca-AbCdEf", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/pki/client-backup-AbCdEf"]],
      [["kms:Decrypt"], ["arn:aws:kms:eu-central-1:111122223333:key/pki"]],
    ])
    error_message = "a client reads its own certificate, and no other"
  }
}

run "acm_pca" {
  variables {
    mode = "acm-pca"
  }
  assert {
    condition     = length(aws_secretsmanager_secret_policy.authority) == 0 && !contains(keys(aws_secretsmanager_secret.this), "ca-key")
    error_message = "no key of an authority is kept"
  }
  assert {
    condition     = contains(module.renew.container.command, "--acm-pca") && !contains(module.renew.container.command, "--ca-validity")
    error_message = "ACM Private CA signs"
  }
  assert {
    condition = jsonencode({ for s in jsondecode(module.renew.policy).Statement : s.Sid => s.Action }) == jsonencode({
      Authority       = ["acm-pca:GetCertificate", "acm-pca:GetCertificateAuthorityCertificate"]
      Certificates    = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
      CertificatesKey = ["kms:Decrypt", "kms:GenerateDataKey"]
      Sign            = ["acm-pca:IssueCertificate"]
    })
    error_message = "the job may have certificates signed"
  }
  assert {
    condition     = { for s in jsondecode(module.renew.policy).Statement : s.Sid => try(s.Condition.StringEquals["acm-pca:TemplateArn"], []) }["Sign"] == ["arn:aws:acm-pca:::template/EndEntityCertificate/V1", "arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1"]
    error_message = "but no authorities"
  }
  assert {
    condition     = aws_acmpca_certificate.root[0].template_arn == "arn:aws:acm-pca:::template/RootCACertificate/V1" && aws_acmpca_certificate_authority.root[0].permanent_deletion_time_in_days == 30
    error_message = "a root authority that can be brought back for a month"
  }
  assert {
    condition     = output.ca_certificate != null
    error_message = "its certificate is known"
  }
}

run "refuses" {
  command = plan
  variables {
    mode                 = "letsencrypt"
    server_names         = ["https://etcd:2379"]
    clients              = { "Kube" = "a,b" }
    validity_hours       = 1
    recovery_window_days = 3
    schedule             = "cron(0 0 * * ? *)"
  }
  expect_failures = [var.mode, var.server_names, var.clients, var.validity_hours, var.recovery_window_days, var.schedule]
}
