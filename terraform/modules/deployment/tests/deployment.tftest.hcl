# The wires between the modules. Values of AWS are mocks, known already when planning; what differs between two
# resources of a kind, so that a wire to the wrong one shows, is overridden.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

override_resource {
  target          = module.hot_tier.aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-central-1:111122223333:key/hot-tier" }
}

override_resource {
  target          = module.hot_tier.aws_secretsmanager_secret.password
  override_during = plan
  values          = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:password-AbCdEf" }
}

override_resource {
  target          = module.frontends.aws_security_group.frontends
  override_during = plan
  values          = { id = "sg-frontends" }
}

override_resource {
  target          = module.hot_tier.aws_memorydb_cluster.this["0"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.shop-0.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

override_resource {
  target          = module.hot_tier.aws_memorydb_cluster.this["1"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.shop-1.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

override_resource {
  target          = module.hot_tier.aws_memorydb_cluster.this["2"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.shop-2.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

variables {
  name         = "shop"
  images       = { tierd = "registry.example.com/tierd:1.2.3", collector = "registry.example.com/collector:4.5.6" }
  network      = { availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  client_cidrs = ["10.0.0.0/16"]
  hot_tier     = { shards = 3, replicas = 2 }
  keyspace     = "shop"
}

run "frontends_serve_the_home_shard_and_archive" {
  command = plan

  assert {
    condition     = module.frontends.settings["TIERD_HOT_TIER"] == module.hot_tier.endpoints[0] && length(module.hot_tier.endpoints) == 3
    error_message = "the frontends' hot tier is not the first of the shards"
  }
  assert {
    condition     = module.frontends.secrets == { TIERD_HOT_TIER_PASSWORD = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:password-AbCdEf" }
    error_message = "the frontends' password is not the hot tier's"
  }
  assert {
    condition     = module.frontends.settings["TIERD_REPLICA_ACKS"] == "0"
    error_message = "frontends of MemoryDB wait for replicas"
  }
  assert {
    condition     = module.frontends.settings["TIERD_OBJECT_TIER"] == module.object_tier.url && module.frontends.settings["TIERD_ARCHIVE_KMS_KEY"] == module.object_tier.archive_kms_key_arn
    error_message = "the frontends archive elsewhere, or with another key"
  }
  assert {
    condition     = module.frontends.settings["TIERD_KEYSPACE"] == "shop"
    error_message = "the frontends serve another keyspace"
  }
}

run "elasticache_has_frontends_wait_for_a_replica" {
  command = plan

  variables {
    hot_tier = { engine = "elasticache", replicas = 2 }
  }

  assert {
    condition     = module.frontends.settings["TIERD_REPLICA_ACKS"] == "1"
    error_message = "with ElastiCache, a client is told of a write that one machine has"
  }
}

run "who_reaches_whom" {
  command = plan

  assert {
    condition     = module.hot_tier.client_security_group_ids == ["sg-frontends"]
    error_message = "others than frontends and jobs reach the hot tier"
  }
  assert {
    condition     = module.network.endpoint_client_security_group_ids == ["sg-frontends"]
    error_message = "others than frontends and jobs call AWS through the endpoints, or they cannot"
  }
}

run "certificates_are_for_the_names_clients_use" {
  command = plan

  variables {
    endpoint_name = "tierd.shop.example"
  }

  assert {
    condition     = strcontains(join(" ", module.pki.command), "--server-name ${module.frontends.load_balancer_dns_name},tierd.shop.example ")
    error_message = "the server's certificate is not for the load balancer's name and the endpoint's"
  }
  assert {
    condition     = strcontains(join(" ", module.pki.command), "--client admin=admin,kube-apiserver=kube-apiserver")
    error_message = "a client has no certificate"
  }
}

run "jobs_know_all_shards" {
  command = plan

  assert {
    condition     = join(" ", module.functions.commands["shard-apply"]) == "shard apply ${join(" ", module.hot_tier.endpoints)}"
    error_message = "the job of the shard map has other shards than there are"
  }
  assert {
    condition     = keys(module.functions.commands) == ["archive-prune", "archive-verify", "restore-drill", "shard-apply"]
    error_message = "a job is missing"
  }
}

run "what_clients_are_told" {
  command = plan

  assert {
    condition = output.kube_apiserver_flags == join("\n", [
      "--etcd-servers=${module.frontends.endpoint}",
      "--etcd-cafile=/etc/kubernetes/pki/tierd/ca.crt",
      "--etcd-certfile=/etc/kubernetes/pki/tierd/client-kube-apiserver.crt",
      "--etcd-keyfile=/etc/kubernetes/pki/tierd/client-kube-apiserver.key",
    ])
    error_message = "the flags of kube-apiserver"
  }
  assert {
    condition     = startswith(output.endpoint, "https://") && endswith(output.endpoint, ":2379")
    error_message = "the endpoint is not https on port 2379"
  }
  assert {
    condition     = output.etcdctl == "etcdctl --endpoints=${output.endpoint} --cacert=/etc/kubernetes/pki/tierd/ca.crt --cert=/etc/kubernetes/pki/tierd/client-admin.crt --key=/etc/kubernetes/pki/tierd/client-admin.key endpoint status --write-out=table"
    error_message = "the line for etcdctl"
  }
  assert {
    condition     = output.fetch_certificates == "tierd pki fetch --store '${module.pki.store}' --to /etc/kubernetes/pki/tierd --only ca,client-kube-apiserver --watch 1h" && endswith(output.fetch_admin_certificates, "--only ca,client-admin")
    error_message = "how the certificates that the flags name get there"
  }
  assert {
    condition     = keys(output.client_policies) == ["admin", "kube-apiserver"]
    error_message = "a client has no policy for its own certificate"
  }
  assert {
    condition     = output.ca.secret_arn == module.pki.ca_secret_arn && output.ca.certificate == null
    error_message = "where the authority is"
  }
}

run "acm_pca_is_reached_without_the_internet" {
  command = plan

  variables {
    pki = { mode = "acm-pca" }
  }

  assert {
    condition     = contains(module.network.interface_endpoints, "acm-pca") && contains(module.pki.command, "--acm-pca")
    error_message = "the job cannot reach ACM Private CA"
  }
}

run "alarms_watch_what_there_is" {
  command = plan

  assert {
    condition     = alltrue([for shard in range(3) : contains(module.observability.alarm_names, "shop-TierdShardMemory-${shard}")])
    error_message = "a shard has no alarm"
  }
  assert {
    condition     = alltrue([for jobs in ["functions", "pki"] : contains(module.observability.alarm_names, "shop-TierdJobNotStarted-${jobs}")])
    error_message = "jobs that cannot be started raise no alarm"
  }
  assert {
    condition     = module.frontends.settings["TIERD_NAME"] == "shop" && startswith(module.observability.remote_write_url, "https://aps-workspaces.")
    error_message = "metrics go nowhere"
  }
}
