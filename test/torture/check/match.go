package check

// match pairs each of the left with one of the right that fits it, so that as many
// as possible have one: fits lists the right ones for each left one. The result
// has -1 where there is none.
func match(fits [][]int, right int) []int {
	owner := make([]int, right)
	for j := range owner {
		owner[j] = -1
	}
	for i := range fits {
		augment(fits, i, owner, make([]bool, right))
	}
	pairs := make([]int, len(fits))
	for i := range pairs {
		pairs[i] = -1
	}
	for j, i := range owner {
		if i >= 0 {
			pairs[i] = j
		}
	}
	return pairs
}

// augment finds a place for i, moving others if need be.
func augment(fits [][]int, i int, owner []int, visited []bool) bool {
	for _, j := range fits[i] {
		if visited[j] {
			continue
		}
		visited[j] = true
		if owner[j] < 0 || augment(fits, owner[j], owner, visited) {
			owner[j] = i
			return true
		}
	}
	return false
}
