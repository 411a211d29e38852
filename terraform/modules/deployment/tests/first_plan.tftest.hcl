# A first plan, in which nothing of AWS is known yet: how many of each there are must not depend on it, and no
# resource on itself.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name         = "shop"
  images       = { tierd = "registry.example.com/tierd:1.2.3", collector = "registry.example.com/collector:4.5.6" }
  network      = { availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  client_cidrs = ["10.0.0.0/16"]
}

run "memorydb" {
  command = plan

  variables {
    hot_tier      = { shards = 3, replicas = 2, draining_shards = 1 }
    endpoint_name = "tierd.shop.example"
    dns_zone_id   = "Z0123456789"
    object_tier   = { replication = { bucket_arn = "arn:aws:s3:::copy", kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/0123" } }
  }

  assert {
    condition     = output.endpoint == "https://tierd.shop.example:2379"
    error_message = "the endpoint that clients are told"
  }
}

run "elasticache_and_acm_pca" {
  command = plan

  variables {
    hot_tier = { engine = "elasticache", replicas = 2 }
    pki      = { mode = "acm-pca" }
    internal = false
  }

  assert {
    condition     = module.hot_tier.replica_acks == 1
    error_message = "replicas that are waited for"
  }
}
