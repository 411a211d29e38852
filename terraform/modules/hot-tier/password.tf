# The password is AWS Secrets Manager's own random. There are two, a and b, and both open: generations take turns, so each replaces
# the one before the last, and frontends change over while theirs still works. No person ever sees one.

locals {
  # Slot => how often its password was made. Odd generations are in a, even ones in b.
  slots = {
    a = floor((var.password_generation + 1) / 2)
    b = floor(var.password_generation / 2)
  }
  current   = var.password_generation % 2 == 1 ? "a" : "b"
  passwords = [for slot, _ in local.slots : aws_secretsmanager_secret_version.password[slot].secret_string]
}

# Another one at each plan, of which only the one at hand when a secret is made is used.
data "aws_secretsmanager_random_password" "new" {
  for_each = local.slots

  password_length     = 64
  exclude_punctuation = true
}

resource "terraform_data" "password_generation" {
  for_each = local.slots

  input = each.value
}

resource "aws_secretsmanager_secret" "password" {
  for_each = local.slots

  name_prefix             = "${var.name}-hot-tier-password-${each.key}-"
  description             = "One of the two passwords of ${local.user_name} in the Redis of ${var.name}"
  kms_key_id              = local.kms_key_arn
  recovery_window_in_days = 30

  tags = var.tags
}

# The user needs the value, so it cannot be write-only: it is in the state, marked as sensitive.
resource "aws_secretsmanager_secret_version" "password" {
  for_each = local.slots

  secret_id     = aws_secretsmanager_secret.password[each.key].id
  secret_string = data.aws_secretsmanager_random_password.new[each.key].random_password

  lifecycle {
    ignore_changes       = [secret_string]
    replace_triggered_by = [terraform_data.password_generation[each.key]]
  }
}
