# Nobody sees a password, and changing it breaks no connection. The runs follow each other: each finds what the one before has made.

mock_provider "aws" {
  mock_resource "aws_memorydb_cluster" {
    defaults = {
      arn              = "arn:aws:memorydb:eu-central-1:123456789012:cluster/mock"
      cluster_endpoint = [{ address = "clustercfg.mock.memorydb.eu-central-1.amazonaws.com", port = 6379 }]
    }
  }
  mock_resource "aws_elasticache_replication_group" {
    defaults = {
      arn                      = "arn:aws:elasticache:eu-central-1:123456789012:replicationgroup:mock"
      primary_endpoint_address = "master.mock.euc1.cache.amazonaws.com"
    }
  }
}

variables {
  name                      = "tierd-test"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-a", "subnet-b", "subnet-c"]
  client_security_group_ids = ["sg-frontends", "sg-jobs"]
  deletion_protection       = false # what a run applies has to be removed after it
  tags                      = { project = "tierd" }
}

run "a_password_is_made_and_kept" {
  command = apply

  assert {
    condition     = nonsensitive(aws_secretsmanager_secret_version.password["a"].secret_string == data.aws_secretsmanager_random_password.new["a"].random_password)
    error_message = "the password is not the random one"
  }
  assert {
    condition     = alltrue([for new in data.aws_secretsmanager_random_password.new : new.password_length == 64 && new.exclude_punctuation])
    error_message = "passwords are short, or have characters that the services refuse"
  }
  assert {
    condition     = output.password_secret_arn == aws_secretsmanager_secret.password["a"].arn
    error_message = "the first generation is not in slot a"
  }
  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.password : secret.kms_key_id == aws_kms_key.this[0].arn && secret.recovery_window_in_days == 30])
    error_message = "a password is not encrypted by the key of the hot tier, or cannot be brought back"
  }
  assert {
    condition     = nonsensitive(toset(aws_memorydb_user.this[0].authentication_mode[0].passwords) == toset([for version in aws_secretsmanager_secret_version.password : version.secret_string])) && aws_memorydb_user.this[0].authentication_mode[0].type == "password"
    error_message = "the user does not have both passwords"
  }
}

run "a_new_generation_leaves_the_password_in_use" {
  command = apply

  variables {
    password_generation = 2
  }

  assert {
    condition     = nonsensitive(aws_secretsmanager_secret_version.password["a"].secret_string != data.aws_secretsmanager_random_password.new["a"].random_password)
    error_message = "the password that frontends use was replaced under them"
  }
  assert {
    condition     = nonsensitive(aws_secretsmanager_secret_version.password["b"].secret_string == data.aws_secretsmanager_random_password.new["b"].random_password)
    error_message = "the other password is not a new one"
  }
  assert {
    condition     = output.password_secret_arn == aws_secretsmanager_secret.password["b"].arn
    error_message = "frontends are not told of the new password"
  }
  assert {
    condition     = nonsensitive(toset(aws_memorydb_user.this[0].authentication_mode[0].passwords) == toset([for version in aws_secretsmanager_secret_version.password : version.secret_string]))
    error_message = "the user does not have both passwords"
  }
}

run "the_generation_after_replaces_the_oldest" {
  command = apply

  variables {
    password_generation = 3
  }

  assert {
    condition     = nonsensitive(aws_secretsmanager_secret_version.password["a"].secret_string == data.aws_secretsmanager_random_password.new["a"].random_password) && nonsensitive(aws_secretsmanager_secret_version.password["b"].secret_string != data.aws_secretsmanager_random_password.new["b"].random_password)
    error_message = "not the password before the last was replaced, and it alone"
  }
  assert {
    condition     = output.password_secret_arn == aws_secretsmanager_secret.password["a"].arn
    error_message = "frontends are not told of the new password"
  }
}
