# What a plan of the local deployment says, and which variables it refuses. That it works is
# make e2e-terraform.

variables {
  directory    = "/tmp/tierd-local-test"
  tierd_binary = "./versions.tf" # any file
}

run "defaults" {
  command = plan

  assert {
    condition     = output.endpoint == "https://127.0.0.1:23790"
    error_message = "the endpoint is not the load balancer's: ${output.endpoint}"
  }

  assert {
    condition     = length(terraform_data.redis) == 6 && length(terraform_data.sentinel) == 3 && length(terraform_data.frontend) == 2
    error_message = "there must be 3 shards with a replica each, 3 Sentinels and 2 frontends"
  }

  assert {
    condition = output.kube_apiserver_flags == [
      "--etcd-servers=https://127.0.0.1:23790",
      "--etcd-cafile=/tmp/tierd-local-test/pki/ca.crt",
      "--etcd-certfile=/tmp/tierd-local-test/pki/client-apiserver.crt",
      "--etcd-keyfile=/tmp/tierd-local-test/pki/client-apiserver.key",
    ]
    error_message = "the flags of an API server are others: ${jsonencode(output.kube_apiserver_flags)}"
  }

  assert {
    condition     = output.hot_tier[0] == "redis://tierd@127.0.0.1:23792?addr=127.0.0.1:23793&addr=127.0.0.1:23794&master_name=shard-1&username=tierd"
    error_message = "the home endpoint is not that of the Sentinels, without a password: ${output.hot_tier[0]}"
  }

  assert {
    condition     = local.settings.TIERD_REPLICA_ACKS == "1" && local.settings.TIERD_CLIENT_CERT_AUTH == "true"
    error_message = "frontends must wait for a replica, and want certificates of clients"
  }
}

# No two things share a port, however many there are.
run "most" {
  command = plan

  variables {
    shards    = 12
    replicas  = 3
    frontends = 16
  }

  assert {
    condition     = length(terraform_data.redis) == 48 && length(terraform_data.frontend) == 16
    error_message = "not everything is there"
  }

  assert {
    condition = length(distinct(flatten([
      local.ports.clients, local.ports.s3, local.ports.sentinels, local.ports.status, [for f in local.ports.frontends : values(f)], local.ports.redis,
    ]))) == 1 + 1 + 3 + 1 + 32 + 48
    error_message = "two things have one port"
  }

  assert {
    condition     = max(flatten(local.ports.redis)...) < var.first_port + 120
    error_message = "a port lies behind the 120 that are documented"
  }
}

run "another_place" {
  command = plan

  variables {
    first_port = 30000
    address    = "192.0.2.10"
    settings   = { auto-compaction-retention = "5m" }
  }

  assert {
    condition     = output.endpoint == "https://192.0.2.10:30000" && local.settings.TIERD_ADVERTISE_CLIENT_URLS == output.endpoint
    error_message = "clients are told another endpoint: ${output.endpoint}"
  }

  assert {
    condition     = terraform_data.certificates.input.names == "localhost,127.0.0.1,192.0.2.10"
    error_message = "the certificate is for others: ${terraform_data.certificates.input.names}"
  }

  assert {
    condition     = local.settings.TIERD_AUTO_COMPACTION_RETENTION == "5m"
    error_message = "the setting is not handed on"
  }
}

run "numbers_out_of_bounds" {
  command = plan

  variables {
    shards           = 13
    replicas         = 0
    frontends        = 0
    first_port       = 80
    redis_memory_mib = 1
  }

  expect_failures = [var.shards, var.replicas, var.frontends, var.first_port, var.redis_memory_mib]
}

run "numbers_that_are_not_whole" {
  command = plan

  variables {
    shards     = 2.5
    frontends  = 1.5
    first_port = 23790.5
  }

  expect_failures = [var.shards, var.frontends, var.first_port]
}

run "names_that_are_none" {
  command = plan

  variables {
    directory = "with space"
    keyspace  = "Upper"
    address   = "0.0.0.0"
    settings  = { "Log Level" = "debug" }
  }

  expect_failures = [var.directory, var.keyspace, var.address, var.settings]
}

run "the_root_directory" {
  command = plan

  variables {
    directory    = "/"
    redis_server = ""
    s3_server    = ""
    tierd_binary = ""
  }

  expect_failures = [var.directory, var.redis_server, var.s3_server, var.tierd_binary]
}

run "settings_that_are_made_here" {
  command = plan

  variables {
    settings = { hot-tier = "local" }
  }

  expect_failures = [var.settings]
}

run "no_binary" {
  command = plan

  variables {
    tierd_binary = "/nowhere/tierd"
  }

  expect_failures = [terraform_data.release]
}

run "no_redis" {
  command = plan

  variables {
    redis_server = "/nowhere/redis-server"
  }

  expect_failures = [terraform_data.programs]
}
