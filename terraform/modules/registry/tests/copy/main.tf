# Runs copy.sh with stand-ins for the programs that copy images, and tells how those were called.

variable "source_reference" {
  description = "What is copied."
  type        = string
}

variable "tools" {
  description = "Programs that are there."
  type        = list(string)
}

variable "copy_with" {
  description = "Program that is wanted; empty: any."
  type        = string
  default     = ""
}

resource "terraform_data" "copy" {
  input            = abspath("${path.module}/calls")
  triggers_replace = [var.source_reference, var.tools, var.copy_with]

  provisioner "local-exec" {
    command = "if sh \"$SCRIPT\" 2>>\"$CALLS\"; then echo done >>\"$CALLS\"; else echo failed >>\"$CALLS\"; fi"
    environment = {
      CALLS       = self.input
      SCRIPT      = abspath("${path.module}/../../copy.sh")
      SOURCE      = var.source_reference
      TARGET      = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/tierd/tierd:v1"
      TARGET_USER = "AWS"
      TARGET_PASS = "secret"
      COPY_WITH   = var.copy_with
      PATH        = join(":", concat([for tool in var.tools : abspath("${path.module}/tools/${tool}")], ["/usr/bin", "/bin"]))
    }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "rm -f \"$CALLS\""
    environment = { CALLS = self.input }
  }
}

output "calls" {
  description = "How the programs were called, a line each, and how the script ended."
  value       = terraform_data.copy.id == "" ? [] : split("\n", trimspace(file(terraform_data.copy.input)))
}
