// Linked against one whole library and its declared dependencies: a missing one fails the build.
int main() {
  return 0;
}
