#include "kernels/moe_route.h"
