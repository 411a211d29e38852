# What this configuration chooses. terraform test -var-file=terraform.tfvars.example: the example's values are tried.

mock_provider "aws" {
  source          = "../../modules/deployment/tests/mocks"
  override_during = plan
}

run "the_example_is_accepted" {
  command = plan

  assert {
    condition     = output.kube_apiserver_flags == join("\n", ["--etcd-servers=${output.endpoint}", "--etcd-cafile=/etc/kubernetes/pki/tierd/ca.crt", "--etcd-certfile=/etc/kubernetes/pki/tierd/client-kube-apiserver.crt", "--etcd-keyfile=/etc/kubernetes/pki/tierd/client-kube-apiserver.key"])
    error_message = "the flags of kube-apiserver"
  }
  assert {
    condition     = startswith(output.etcdctl, "etcdctl --endpoints=${output.endpoint} --cacert=")
    error_message = "the line for etcdctl"
  }
  assert {
    condition     = output.ca.secret_arn != "" && output.ca.certificate == null && keys(output.client_secret_arns) == ["admin", "kube-apiserver"]
    error_message = "where the certificates are"
  }
  assert {
    condition     = strcontains(output.fetch_certificates, "tierd pki fetch --store 'secretsmanager://") && strcontains(output.fetch_certificates, "--only ca,client-kube-apiserver")
    error_message = "how an API server gets its certificate"
  }
}

run "one_shard_and_two_frontends" {
  command = plan

  assert {
    condition     = length(module.deployment.shard_endpoints) == 1
    error_message = "there is not one shard"
  }
  assert {
    condition     = module.deployment.frontends == { min_count = 2, max_count = 4, replica_acks = 0 }
    error_message = "there are not two frontends, which MemoryDB's log spares the wait for replicas"
  }
}

run "elasticache_waits_for_a_replica_of_two" {
  command = plan

  variables {
    engine    = "elasticache"
    node_type = "cache.t4g.small"
  }

  assert {
    condition     = module.deployment.frontends.replica_acks == 1 && module.deployment.replicas == 2
    error_message = "a write of ElastiCache is told of before a replica has it, or one replica that fails stops writing"
  }
}

run "what_holds_state_is_protected" {
  command = plan

  assert {
    condition     = var.deletion_protection && module.deployment.deletion_protection
    error_message = "state can be destroyed by mistake"
  }
}
