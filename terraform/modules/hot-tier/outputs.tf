output "endpoints" {
  description = "URLs of the shards that serve, as tierd takes them, with its user and without the password. The first is the home shard."
  value       = [for i in range(var.shards) : local.urls[tostring(i)]]
  depends_on  = [aws_memorydb_user.this, aws_elasticache_user.this, aws_vpc_security_group_ingress_rule.clients]
}

output "draining_endpoints" {
  description = "URLs of the shards that are being emptied; tierd must still reach them."
  value       = [for i in range(var.shards, var.shards + var.draining_shards) : local.urls[tostring(i)]]
}

output "password_secret_arn" {
  description = "ARN of the secret whose value is the password. It is another one after each change of password_generation, which has whoever is given it start anew."
  value       = aws_secretsmanager_secret.password[local.current].arn
  depends_on  = [aws_memorydb_user.this, aws_elasticache_user.this, aws_secretsmanager_secret_version.password]
}

output "replica_acks" {
  description = "Value for tierd's replica-acks: 0 where the service keeps a log of several zones, 1 where a replica has to have a write."
  value       = local.memorydb ? 0 : 1
}

output "kms_key_arn" {
  description = "Key that encrypts data at rest and the password: whoever reads the password needs kms:Decrypt on it."
  value       = local.kms_key_arn
}

output "engine" {
  description = "The engine, for whoever watches its metrics."
  value       = var.engine
}

output "cluster_names" {
  description = "Names of the clusters or replication groups, those that are being emptied last: the names in metrics and alarms."
  value = [for i in range(var.shards + var.draining_shards) :
    local.memorydb ? aws_memorydb_cluster.this[tostring(i)].name : aws_elasticache_replication_group.this[tostring(i)].replication_group_id
  ]
}

output "replicas" {
  description = "Replicas of each shard."
  value       = var.replicas
}

output "user_name" {
  description = "tierd's user in Redis."
  value       = local.user_name
}

output "security_group_id" {
  description = "Security group of Redis, for rules that let a security group reach it."
  value       = aws_security_group.this.id
}

output "port" {
  description = "Port of Redis."
  value       = local.port
}

output "client_security_group_ids" {
  description = "Security groups whose members may connect to Redis."
  value       = aws_vpc_security_group_ingress_rule.clients[*].referenced_security_group_id
}

output "deletion_protection" {
  description = "Whether every shard that serves refuses to be destroyed."
  value       = alltrue([for shard, serves in local.serving : terraform_data.guard[shard].input.protected if serves])
}
