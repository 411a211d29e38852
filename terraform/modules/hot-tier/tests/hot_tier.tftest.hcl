# What is promised of both engines: encrypted at rest and on the way, never evicting, in several zones, reached by named groups and
# one user with the rights of deploy/redis/users.acl, and not destroyed by mistake.

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

run "memorydb_is_encrypted_replicated_and_never_evicts" {
  command = apply

  variables {
    shards = 3
  }

  assert {
    condition     = toset(keys(aws_memorydb_cluster.this)) == toset(["0", "1", "2"]) && length(aws_elasticache_replication_group.this) == 0
    error_message = "there is not one MemoryDB cluster for each shard"
  }
  assert {
    condition     = alltrue([for cluster in aws_memorydb_cluster.this : cluster.num_shards == 1 && cluster.num_replicas_per_shard >= 1])
    error_message = "a cluster has several shards of its own, or no replica"
  }
  assert {
    condition     = alltrue([for cluster in aws_memorydb_cluster.this : cluster.tls_enabled])
    error_message = "TLS is off"
  }
  assert {
    condition     = alltrue([for cluster in aws_memorydb_cluster.this : cluster.kms_key_arn == aws_kms_key.this[0].arn])
    error_message = "data at rest is not encrypted by the key of the hot tier"
  }
  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation && aws_kms_key.this[0].deletion_window_in_days == 30
    error_message = "the key does not rotate, or is gone sooner than 30 days after its deletion"
  }
  assert {
    condition     = aws_memorydb_parameter_group.this[0].parameter == toset([{ name = "maxmemory-policy", value = "noeviction" }]) && alltrue([for cluster in aws_memorydb_cluster.this : cluster.parameter_group_name == aws_memorydb_parameter_group.this[0].name])
    error_message = "a shard may evict"
  }
  assert {
    condition     = alltrue([for cluster in aws_memorydb_cluster.this : cluster.engine == "redis" && tonumber(split(".", cluster.engine_version)[0]) >= 7])
    error_message = "tierd refuses this engine: it needs Redis 7 or Valkey 8"
  }
  assert {
    condition     = aws_memorydb_subnet_group.this[0].subnet_ids == toset(["subnet-a", "subnet-b", "subnet-c"]) && alltrue([for cluster in aws_memorydb_cluster.this : cluster.subnet_group_name == aws_memorydb_subnet_group.this[0].name])
    error_message = "shards are not spread over the subnets"
  }
  assert {
    condition     = alltrue([for cluster in aws_memorydb_cluster.this : cluster.acl_name == aws_memorydb_acl.this[0].name]) && aws_memorydb_acl.this[0].user_names == toset(["tierd-test"])
    error_message = "others than tierd's user may log in"
  }
  assert {
    condition     = alltrue([for i, cluster in aws_memorydb_cluster.this : cluster.final_snapshot_name == "tierd-test-${i}-final" && cluster.snapshot_retention_limit == 7 && cluster.snapshot_window == "03:00-04:00" && cluster.maintenance_window == "sun:05:00-sun:06:00"])
    error_message = "a shard has no snapshots, or leaves none behind"
  }
  assert {
    condition     = output.replica_acks == 0
    error_message = "MemoryDB has a log of its own; waiting for replicas adds nothing"
  }
  assert {
    condition     = output.endpoints == [for i in range(3) : "rediss+cluster://tierd-test@clustercfg.mock.memorydb.eu-central-1.amazonaws.com:6379"] && output.cluster_names == ["tierd-test-0", "tierd-test-1", "tierd-test-2"]
    error_message = "tierd is given other URLs than those of the clusters, in TLS and with its user"
  }
  assert {
    condition     = alltrue([for url in output.endpoints : !strcontains(url, nonsensitive(aws_secretsmanager_secret_version.password["a"].secret_string))])
    error_message = "the password is in a URL"
  }
  assert {
    condition     = aws_memorydb_cluster.this["0"].tags == tomap({ project = "tierd", Name = "tierd-test-0" })
    error_message = "tags are missing"
  }
}

run "elasticache_is_encrypted_replicated_and_never_evicts" {
  command = apply

  variables {
    engine   = "elasticache"
    shards   = 2
    replicas = 2
  }

  assert {
    condition     = toset(keys(aws_elasticache_replication_group.this)) == toset(["0", "1"]) && length(aws_memorydb_cluster.this) == 0
    error_message = "there is not one replication group for each shard"
  }
  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.num_cache_clusters == 3 && group.automatic_failover_enabled && group.multi_az_enabled])
    error_message = "a shard does not fail over to another zone"
  }
  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.transit_encryption_enabled && group.transit_encryption_mode == "required"])
    error_message = "TLS is off, or not required"
  }
  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : tobool(group.at_rest_encryption_enabled) && group.kms_key_id == aws_kms_key.this[0].arn])
    error_message = "data at rest is not encrypted by the key of the hot tier"
  }
  assert {
    condition     = aws_elasticache_parameter_group.this[0].parameter == toset([{ name = "maxmemory-policy", value = "noeviction" }]) && alltrue([for group in aws_elasticache_replication_group.this : group.parameter_group_name == aws_elasticache_parameter_group.this[0].name])
    error_message = "a shard may evict"
  }
  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.engine == "valkey" && tonumber(split(".", group.engine_version)[0]) >= 8]) && aws_elasticache_parameter_group.this[0].family == "valkey8"
    error_message = "tierd refuses this engine: it needs Redis 7 or Valkey 8"
  }
  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.user_group_ids == toset([aws_elasticache_user_group.this[0].user_group_id])]) && aws_elasticache_user_group.this[0].user_ids == toset(["tierd-test", "tierd-test-off"])
    error_message = "others than tierd's user may log in"
  }
  assert {
    condition     = aws_elasticache_user.default[0].user_name == "default" && aws_elasticache_user.default[0].access_string == "off resetchannels -@all"
    error_message = "the default user is on, or may do something"
  }
  assert {
    condition     = alltrue([for i, group in aws_elasticache_replication_group.this : group.final_snapshot_identifier == "tierd-test-${i}-final" && group.snapshot_retention_limit == 7 && !group.apply_immediately])
    error_message = "a shard has no snapshots, leaves none behind, or fails over in the middle of the day"
  }
  assert {
    condition     = output.replica_acks == 1
    error_message = "without an append-only file, tierd has to wait for a replica"
  }
  assert {
    condition     = output.endpoints == ["rediss://tierd-test@master.mock.euc1.cache.amazonaws.com:6379", "rediss://tierd-test@master.mock.euc1.cache.amazonaws.com:6379"]
    error_message = "tierd is given other URLs than those of the primaries, in TLS and with its user"
  }
}

run "rights_are_those_of_the_acl_file" {
  command = plan

  variables {
    keyspaces = ["default"]
  }

  assert {
    condition     = toset(regexall("\\+\\S+", aws_memorydb_user.this[0].access_string)) == setsubtract(regexall("\\+\\S+", file("${path.module}/../../../deploy/redis/users.acl")), ["+config|get"])
    error_message = "the commands are not those of deploy/redis/users.acl (without CONFIG, which the services forbid)"
  }
  assert {
    condition     = regexall("~\\S+", aws_memorydb_user.this[0].access_string) == regexall("~\\S+", file("${path.module}/../../../deploy/redis/users.acl"))
    error_message = "the keys are not those of deploy/redis/users.acl"
  }
  assert {
    condition     = can(regex("^on ~\\{default:\\* resetchannels -@all(?: \\+[a-z|]+)+$", aws_memorydb_user.this[0].access_string))
    error_message = "the access string is not: on, keys, no channels, no commands, and then those that tierd needs"
  }
}

run "rights_are_the_same_in_elasticache_and_for_several_keyspaces" {
  command = plan

  variables {
    engine    = "elasticache"
    keyspaces = ["default", "drill", "team-*"]
  }

  assert {
    condition     = startswith(aws_elasticache_user.this[0].access_string, "on ~{default:* ~{drill:* ~{team-* resetchannels -@all +evalsha ")
    error_message = "the keys of the second keyspace are missing, or more than its keys are there"
  }
  assert {
    condition     = toset(regexall("\\+\\S+", aws_elasticache_user.this[0].access_string)) == setsubtract(regexall("\\+\\S+", file("${path.module}/../../../deploy/redis/users.acl")), ["+config|get"])
    error_message = "the commands are not those of deploy/redis/users.acl (without CONFIG, which the services forbid)"
  }
}

run "only_named_groups_connect" {
  command = plan

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.clients : rule.referenced_security_group_id] == ["sg-frontends", "sg-jobs"]
    error_message = "others than the named groups may connect"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port == 6379 && rule.to_port == 6379 && rule.ip_protocol == "tcp"])
    error_message = "another port than that of Redis is open"
  }
}

run "shards_that_serve_are_guarded" {
  command = plan

  variables {
    shards              = 2
    draining_shards     = 1
    deletion_protection = true
  }

  assert {
    condition     = { for i, guard in terraform_data.guard : i => guard.input.protected } == { "0" = true, "1" = true, "2" = false }
    error_message = "not exactly the shards that serve refuse to be destroyed"
  }
}

run "protection_is_the_default" {
  command = plan

  variables {
    deletion_protection = null # the default, as null is none of its own
  }

  assert {
    condition     = terraform_data.guard["0"].input.protected
    error_message = "shards can be destroyed unless somebody remembers to forbid it"
  }
}

run "a_draining_shard_is_reached_and_not_listed" {
  command = apply

  variables {
    shards          = 1
    draining_shards = 1
  }

  assert {
    condition     = length(output.endpoints) == 1 && length(output.draining_endpoints) == 1 && output.cluster_names == ["tierd-test-0", "tierd-test-1"]
    error_message = "a shard that is being emptied is gone, or still listed"
  }
}

run "a_key_of_ones_own" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_memorydb_cluster.this["0"].kms_key_arn == var.kms_key_arn && output.kms_key_arn == var.kms_key_arn && alltrue([for secret in aws_secretsmanager_secret.password : secret.kms_key_id == var.kms_key_arn])
    error_message = "another key than the one given is used"
  }
}

run "no_replica_is_refused" {
  command = plan
  variables {
    replicas = 0
  }
  expect_failures = [var.replicas]
}

run "one_subnet_is_refused" {
  command = plan
  variables {
    subnet_ids = ["subnet-a"]
  }
  expect_failures = [var.subnet_ids]
}

run "no_shard_is_refused" {
  command = plan
  variables {
    shards = 0
  }
  expect_failures = [var.shards]
}

run "another_engine_is_refused" {
  command = plan
  variables {
    engine = "dynamodb"
  }
  expect_failures = [var.engine]
}

run "a_node_type_of_the_other_engine_is_refused" {
  command = plan
  variables {
    node_type = "cache.t4g.small"
  }
  expect_failures = [var.node_type]
}

run "the_user_default_is_refused" {
  command = plan
  variables {
    user_name = "default"
  }
  expect_failures = [var.user_name]
}

run "all_keys_are_refused" {
  command = plan
  variables {
    keyspaces = ["*"]
  }
  expect_failures = [var.keyspaces]
}

run "an_alias_is_refused" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/mine"
  }
  expect_failures = [var.kms_key_arn]
}

run "no_snapshots_are_refused" {
  command = plan
  variables {
    snapshot_retention_days = 0
  }
  expect_failures = [var.snapshot_retention_days]
}

run "windows_that_aws_refuses_are_refused" {
  command = plan
  variables {
    snapshot_window    = "3-4"
    maintenance_window = "sunday"
  }
  expect_failures = [var.snapshot_window, var.maintenance_window]
}

run "generations_begin_at_one" {
  command = plan
  variables {
    password_generation = 0
  }
  expect_failures = [var.password_generation]
}
