output "endpoint" {
  description = "Where clients connect to."
  value       = module.frontends.endpoint
}

output "ca" {
  description = "The authority that signed the server's certificate: the secret that holds its certificate, and the certificate itself where it is known when applying (ACM Private CA)."
  value = {
    secret_arn  = module.pki.ca_secret_arn
    certificate = module.pki.ca_certificate
  }
}

output "client_secret_arns" {
  description = "Secrets with the clients' certificates and keys, by the client's name."
  value       = module.pki.client_secret_arns
}

output "fetch_certificates" {
  description = "Run this where an API server runs, with rights to read the secrets of the authority and of kube-apiserver: it writes the files that kube_apiserver_flags name, and writes them anew when they are renewed."
  value       = "tierd pki fetch --store '${module.pki.store}' --to ${var.client_directory} --only ca,client-kube-apiserver --watch 1h"
}

output "fetch_admin_certificates" {
  description = "Run this before the line of etcdctl, with rights to read the secrets of the authority and of admin."
  value       = "tierd pki fetch --store '${module.pki.store}' --to ${var.client_directory} --only ca,client-admin"
}

output "client_policies" {
  description = "IAM policies in JSON, by client, for the role of whoever runs it: to read the authority's certificate and its own."
  value       = module.pki.read_policy_json
}

output "kube_apiserver_flags" {
  description = "Flags of kube-apiserver, one per line."
  value = join("\n", [
    "--etcd-servers=${module.frontends.endpoint}",
    "--etcd-cafile=${var.client_directory}/ca.crt",
    "--etcd-certfile=${var.client_directory}/client-kube-apiserver.crt",
    "--etcd-keyfile=${var.client_directory}/client-kube-apiserver.key",
  ])
}

output "etcdctl" {
  description = "A line that shows whether the deployment serves."
  value = join(" ", [
    "etcdctl --endpoints=${module.frontends.endpoint}",
    "--cacert=${var.client_directory}/ca.crt",
    "--cert=${var.client_directory}/client-admin.crt",
    "--key=${var.client_directory}/client-admin.key",
    "endpoint status --write-out=table",
  ])
}

output "shard_endpoints" {
  description = "The shards that serve, without the password. The first is the home shard."
  value       = module.hot_tier.endpoints
}

output "archive" {
  description = "The archive, as a standby region and the restoring commands need it: URL, bucket, and the master key's ARN."
  value = {
    url         = module.object_tier.url
    bucket      = module.object_tier.bucket
    bucket_arn  = module.object_tier.bucket_arn
    kms_key_arn = module.object_tier.archive_kms_key_arn
  }
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = module.observability.dashboard_name
}

output "alarm_topic_arn" {
  description = "Topic of all alarms."
  value       = module.observability.topic_arn
}

output "frontends" {
  description = "How many frontends there are, and for how many replicas they wait."
  value = {
    min_count    = module.frontends.min_count
    max_count    = module.frontends.max_count
    replica_acks = tonumber(module.frontends.settings["TIERD_REPLICA_ACKS"])
  }
}

output "replicas" {
  description = "Replicas of each shard."
  value       = module.hot_tier.replicas
}

output "archive_replication" {
  description = "Where the archive is replicated to; null: nowhere."
  value       = module.object_tier.replication
}

output "deletion_protection" {
  description = "Whether what holds state refuses to be destroyed."
  value       = module.hot_tier.deletion_protection && module.object_tier.deletion_protection
}
