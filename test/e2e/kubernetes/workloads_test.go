//go:build e2e

package kubernetes_test

import (
	"fmt"
	"strings"
)

// checkDeployment has the controllers make pods of a Deployment, more when it is
// scaled, and none when it is deleted. Nothing runs them: they stay Pending.
func checkDeployment(p *controlPlane, namespace string) {
	p.kubectl("", "create", "deployment", "web", "-n", namespace, "--image=example.invalid/web:1", "--replicas=3")
	p.awaitPods(namespace, 3)
	p.expect("1", fmt.Sprint(len(strings.Fields(p.kubectl("", "get", "replicasets", "-n", namespace, "-o", "name")))))
	p.kubectl("", "scale", "deployment", "web", "-n", namespace, "--replicas=5")
	p.awaitPods(namespace, 5)
	p.kubectl("", "scale", "deployment", "web", "-n", namespace, "--replicas=2")
	p.awaitPods(namespace, 2)
	p.await("the deployment has observed its pods", conditionBound, func() error {
		replicas := p.kubectl("", "get", "deployment", "web", "-n", namespace, "-o", "jsonpath={.status.replicas}")
		if replicas != "2" {
			return fmt.Errorf("status.replicas is %q", replicas)
		}
		return nil
	})
	p.kubectl("", "delete", "deployment", "web", "-n", namespace)
	p.awaitPods(namespace, 0)
}

func (p *controlPlane) awaitPods(namespace string, want int) {
	p.t.Helper()
	p.await(fmt.Sprintf("%d pods", want), conditionBound, func() error {
		phases := strings.Fields(p.kubectl("", "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].status.phase}"))
		if len(phases) != want {
			return fmt.Errorf("%d pods", len(phases))
		}
		for _, phase := range phases {
			if phase != "Pending" {
				p.t.Fatalf("a pod is %s, and nothing could have run it", phase)
			}
		}
		return nil
	})
}
