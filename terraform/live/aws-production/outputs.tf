output "endpoint" {
  description = "Where clients connect to."
  value       = module.deployment.endpoint
}

output "ca" {
  description = "The authority that signed the server's certificate: the secret that holds its certificate, and the certificate itself where it is known when applying."
  value       = module.deployment.ca
}

output "client_secret_arns" {
  description = "Secrets with the clients' certificates and keys, by the client's name."
  value       = module.deployment.client_secret_arns
}

output "fetch_certificates" {
  description = "Brings the certificates to an API server's machine, and keeps them fresh."
  value       = module.deployment.fetch_certificates
}

output "fetch_admin_certificates" {
  description = "Brings the certificate of admin, which the line of etcdctl names."
  value       = module.deployment.fetch_admin_certificates
}

output "client_policies" {
  description = "IAM policies in JSON, by client, for the role of whoever runs it: to read the authority's certificate and its own."
  value       = module.deployment.client_policies
}

output "kube_apiserver_flags" {
  description = "Flags of kube-apiserver, one per line."
  value       = module.deployment.kube_apiserver_flags
}

output "etcdctl" {
  description = "A line that shows whether the deployment serves."
  value       = module.deployment.etcdctl
}

output "archive" {
  description = "The archive, as restoring and a standby region need it."
  value       = module.deployment.archive
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = module.deployment.dashboard_name
}

output "alarm_topic_arn" {
  description = "Topic of all alarms."
  value       = module.deployment.alarm_topic_arn
}

output "shard_endpoints" {
  description = "The shards that serve. The first is the home shard."
  value       = module.deployment.shard_endpoints
}
