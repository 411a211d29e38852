# What this configuration chooses. terraform test -var-file=terraform.tfvars.example: the example's values are tried.

mock_provider "aws" {
  source          = "../../modules/deployment/tests/mocks"
  override_during = plan
}

override_resource {
  target          = module.deployment.module.hot_tier.aws_memorydb_cluster.this["0"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.tierd-0.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

override_resource {
  target          = module.deployment.module.hot_tier.aws_memorydb_cluster.this["1"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.tierd-1.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

override_resource {
  target          = module.deployment.module.hot_tier.aws_memorydb_cluster.this["2"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.tierd-2.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

override_resource {
  target          = module.deployment.module.hot_tier.aws_memorydb_cluster.this["3"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.tierd-3.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

override_resource {
  target          = module.deployment.module.hot_tier.aws_memorydb_cluster.this["4"]
  override_during = plan
  values          = { cluster_endpoint = [{ address = "clustercfg.tierd-4.memorydb.eu-central-1.amazonaws.com", port = 6379 }] }
}

run "the_example_is_accepted" {
  command = plan

  assert {
    condition     = output.endpoint == "https://tierd.example.internal:2379"
    error_message = "clients are told another name than endpoint_name"
  }
  assert {
    condition     = output.kube_apiserver_flags == join("\n", ["--etcd-servers=${output.endpoint}", "--etcd-cafile=/etc/kubernetes/pki/tierd/ca.crt", "--etcd-certfile=/etc/kubernetes/pki/tierd/client-kube-apiserver.crt", "--etcd-keyfile=/etc/kubernetes/pki/tierd/client-kube-apiserver.key"])
    error_message = "the flags of kube-apiserver"
  }
  assert {
    condition     = startswith(output.etcdctl, "etcdctl --endpoints=${output.endpoint} --cacert=")
    error_message = "the line for etcdctl"
  }
  assert {
    condition     = length(output.shard_endpoints) == 3 && module.deployment.replicas == 2
    error_message = "there are not three shards with two replicas each"
  }
  assert {
    condition     = module.deployment.frontends == { min_count = 3, max_count = 12, replica_acks = 0 }
    error_message = "frontends are not one for each zone at least, and twelve at most"
  }
  assert {
    condition     = var.deletion_protection && module.deployment.deletion_protection
    error_message = "state can be destroyed by mistake"
  }
}

run "shards_are_a_number" {
  command = plan

  variables {
    shards          = 5
    draining_shards = 1
  }

  assert {
    condition     = length(output.shard_endpoints) == 5
    error_message = "five shards are not five endpoints"
  }
}

run "the_archive_is_replicated_if_asked_for" {
  command = plan

  variables {
    archive_replication = {
      bucket_arn  = "arn:aws:s3:::tierd-standby-archive"
      kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/0123"
    }
  }

  assert {
    condition     = module.deployment.archive_replication == var.archive_replication
    error_message = "the archive is not replicated"
  }
}

run "an_authority_of_acm_pca" {
  command = plan

  variables {
    acm_pca = true
  }

  assert {
    condition     = output.ca.certificate != null
    error_message = "the authority of ACM Private CA is not told"
  }
}

run "two_zones_are_refused" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a", "eu-central-1b"]
  }

  expect_failures = [var.availability_zones]
}

run "fewer_frontends_than_zones_are_refused" {
  command = plan

  variables {
    frontends = { min_count = 2 }
  }

  expect_failures = [var.frontends]
}
