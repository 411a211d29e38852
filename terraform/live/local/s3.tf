# The object tier.

resource "terraform_data" "s3" {
  triggers_replace = [local.boot]
  input = {
    directory = local.directory
    scripts   = local.deployed
    port      = tostring(local.ports.s3)
  }
  depends_on = [terraform_data.programs]

  provisioner "local-exec" {
    command     = "${self.input.scripts}/s3.sh start"
    environment = { DIRECTORY = self.input.directory, PORT = self.input.port }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.scripts}/s3.sh stop"
    environment = { DIRECTORY = self.input.directory, PORT = self.input.port }
  }
}
