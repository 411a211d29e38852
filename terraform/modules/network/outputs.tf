output "vpc_id" {
  description = "Id of the network."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Addresses of the network."
  value       = aws_vpc.this.cidr_block
}

output "availability_zones" {
  description = "Zones of the subnets, in their order."
  value       = var.availability_zones
}

output "private_subnet_ids" {
  description = "Subnets without a way to the internet, one per zone in the order of availability_zones: for frontends, jobs, Redis and an internal load balancer."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Subnets with a way to the internet, one per zone, for a load balancer that faces it; empty without public_subnets."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id if var.public_subnets]
}

output "private_route_table_ids" {
  description = "Route tables of the private subnets, for peerings and transit gateways by which clients come."
  value       = [for zone in var.availability_zones : aws_route_table.private[zone].id]
}

output "s3_prefix_list_id" {
  description = "Prefix list of S3 in this region, for rules that let a security group reach it."
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "endpoint_security_group_id" {
  description = "Security group of the interface endpoints, for rules that let a security group reach them on port 443."
  value       = aws_security_group.endpoints.id
}

output "flow_log_group_name" {
  description = "CloudWatch log group of the connections."
  value       = aws_cloudwatch_log_group.flows.name
}

output "endpoint_client_security_group_ids" {
  description = "Security groups whose members may call AWS through the interface endpoints."
  value       = aws_vpc_security_group_ingress_rule.endpoints[*].referenced_security_group_id
}

output "interface_endpoints" {
  description = "AWS services that are reached without the internet, beside S3."
  value       = sort(keys(aws_vpc_endpoint.interface))
}
