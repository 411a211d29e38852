output "endpoint" {
  description = "What etcd clients connect to: the load balancer."
  value       = local.endpoint
  depends_on  = [terraform_data.shards, terraform_data.rollout]
}

output "ca" {
  description = "File with the authority of the server's certificate, and of the clients'."
  value       = "${local.directory}/pki/ca.crt"
}

output "kube_apiserver_flags" {
  description = "Flags of a kube-apiserver that keeps its data here."
  value = [
    "--etcd-servers=${local.endpoint}",
    "--etcd-cafile=${local.directory}/pki/ca.crt",
    "--etcd-certfile=${local.directory}/pki/client-apiserver.crt",
    "--etcd-keyfile=${local.directory}/pki/client-apiserver.key",
  ]
}

output "etcdctl" {
  description = "An etcdctl of this deployment, for any command behind it."
  value       = "etcdctl --endpoints=${local.endpoint} --cacert=${local.directory}/pki/ca.crt --cert=${local.directory}/pki/client-etcdctl.crt --key=${local.directory}/pki/client-etcdctl.key"
}

output "tierd" {
  description = "The tierd of this deployment with its settings, for commands such as shard list and backup status."
  value       = "${local.directory}/tierd"
}

output "hot_tier" {
  description = "The Redis endpoints, the home first, as tierd takes them; the password is in secrets/redis-tierd of the directory."
  value       = [for s in range(var.shards) : local.endpoints[tostring(s + 1)]]
}

output "status_page" {
  description = "The load balancer's page about the frontends."
  value       = "http://127.0.0.1:${local.ports.status}/"
}
